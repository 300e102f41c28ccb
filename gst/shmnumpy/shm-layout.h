/* SPDX-License-Identifier: MIT
 *
 * Byte layout of the shared memory that shmnumpysink writes. Two segments under /dev/shm:
 *
 *   NAME       legacy: one frame behind a 5-byte header, as Raspberry.Ninja's readers
 * expect NAME.ring  control page, slot descriptors and a ring of frames, version 2.3
 *
 * Endianness: little endian, naturally aligned, no implicit padding. A big-endian writer
 * does not exist; a big-endian reader swaps.
 *
 * Versioning: `abi` is major << 16 | minor. A reader refuses another major. A minor only
 * gives meaning to bytes that are reserved here; writers zero reserved bytes, readers
 * ignore them. Offsets, counts and strides are read from the header, never assumed from
 * this file.
 *
 * Growth: a published segment never changes its size or geometry. A frame that does not
 * fit, or a new writer, makes a new inode that is renamed over NAME.ring; the old one is
 * marked SHMNUMPY_STATE_RETIRED and woken, whereupon readers open NAME.ring again.
 *
 * Tearing: a frame is whole if `seq` of its slot equals 2 * frame_no before and after it
 * was used. Order in the writer: seq odd, fence, pixels and descriptor, fence, seq even,
 * latest, wake. In the reader: wake, state, latest, seq (acquire, each of them),
 * descriptor and pixels, fence (acquire), seq.
 *
 * Liveness: the writer holds flock(LOCK_EX) on NAME.ring for life. `heartbeat` older than
 * a second, or later than now, with the lock held means a stalled writer, a lock that can
 * be taken a dead one. The writer sees to it that no forked child keeps the lock.
 *
 * Trust: any of these bytes may be garbage. Copy a field once, check it against the size
 * of the own mapping, then use the copy.
 */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
#define SHMNUMPY_ASSERT_(condition) static_assert(condition, #condition)
#else
#define SHMNUMPY_ASSERT_(condition) _Static_assert(condition, #condition)
#endif
#define SHMNUMPY_AT_(type, field, offset)                                                \
  SHMNUMPY_ASSERT_(__builtin_offsetof(struct type, field) == (offset))

/* ---- legacy segment: NAME
 * --------------------------------------------------------------- */

/* Pixels start at byte 5: uint8[height][width][3], rows packed, BGR.
 * Written in this order: pixels, size, counter; then the UDP datagram "update".
 * All four size bytes zero: no frame, or one that is larger than the segment. */
struct shmnumpy_legacy_header {
  uint8_t width_div255;
  uint8_t width_mod255;
  uint8_t height_div255;
  uint8_t height_mod255;
  uint8_t counter; /* frames written, modulo 255 */
};

#define SHMNUMPY_LEGACY_PIXELS 5
#define SHMNUMPY_LEGACY_BASE 255
#define SHMNUMPY_LEGACY_MAX_SIDE 65279        /* 255 * 255 + 254 */
#define SHMNUMPY_LEGACY_DEFAULT_BYTES 6220805 /* 1920 * 1080 * 3 + 5 */
#define SHMNUMPY_LEGACY_UDP_PORT 12345
#define SHMNUMPY_LEGACY_UDP_TEXT "update"

SHMNUMPY_AT_(shmnumpy_legacy_header, width_div255, 0);
SHMNUMPY_AT_(shmnumpy_legacy_header, width_mod255, 1);
SHMNUMPY_AT_(shmnumpy_legacy_header, height_div255, 2);
SHMNUMPY_AT_(shmnumpy_legacy_header, height_mod255, 3);
SHMNUMPY_AT_(shmnumpy_legacy_header, counter, 4);
SHMNUMPY_ASSERT_(sizeof(struct shmnumpy_legacy_header) == SHMNUMPY_LEGACY_PIXELS);

/* ---- ring segment: NAME.ring
 * ------------------------------------------------------------ */

#define SHMNUMPY_RING_SUFFIX ".ring"
#define SHMNUMPY_MAX_NAME 244 /* bytes of NAME: .NAME.ring.keep is a file's name, too */
#define SHMNUMPY_MAGIC "SHMNPY2" /* with its NUL: 8 bytes */
#define SHMNUMPY_ABI_MAJOR 2
#define SHMNUMPY_ABI_MINOR 3
#define SHMNUMPY_ABI 0x00020003u
#define SHMNUMPY_MAX_SLOTS 60
#define SHMNUMPY_MAX_PLANES 4
/* What a frame may be, by GStreamer's names; YUV has two planes or three. */
#define SHMNUMPY_PACKED_FORMATS "RGB, BGR, RGBx, BGRx, RGBA, BGRA, GRAY8, GRAY16_LE"
#define SHMNUMPY_YUV_FORMATS "I420, NV12"
#define SHMNUMPY_NO_TIME (-1) /* pts, duration, running time, capture time unknown */

/* Where this version of the writer puts the regions: each on 64 KiB, so that it can be
 * mapped by itself whatever the page size. Readers take the offsets from the header. */
#define SHMNUMPY_HEADER_BYTES 0x1000
#define SHMNUMPY_SLOT_DESC_OFFSET 0x1000
#define SHMNUMPY_READER_TABLE_OFFSET 0x10000
#define SHMNUMPY_DATA_OFFSET 0x20000
#define SHMNUMPY_SLOT_ALIGN 0x10000

enum shmnumpy_state {
  SHMNUMPY_STATE_INIT = 0, /* being made, or no frame yet */
  SHMNUMPY_STATE_LIVE = 1,
  SHMNUMPY_STATE_EOS = 2,          /* the stream ended; another may follow */
  SHMNUMPY_STATE_RECONNECTING = 3, /* the publisher is away; the last frame is stale */
  SHMNUMPY_STATE_RETIRED = 4,      /* open NAME.ring again */
  SHMNUMPY_STATE_STOPPED = 5       /* the writer has left; the name is gone */
};

/* shmnumpy_header.flags */
#define SHMNUMPY_WRITER_LEGACY 1u /* NAME is written too */
#define SHMNUMPY_WRITER_PINS 2u   /* reader rows are honoured; never in 2.0 */
#define SHMNUMPY_WRITER_HUGE_PAGES 4u

/* shmnumpy_slot.flags */
#define SHMNUMPY_FRAME_DISCONT 1u   /* frames before this one were lost */
#define SHMNUMPY_FRAME_CORRUPTED 2u /* decoded from damaged data */
#define SHMNUMPY_FRAME_GAP 4u       /* filler, nothing was captured */

/* "atomic" fields are aligned words that are loaded and stored whole. A writer on a
 * processor without stores of 64 bits (ARMv6) stores the high half, then the low half
 * with the order that the word asks for. Readers go by the low half: it has all of the
 * slot, the odd bit, 24 bits of the frame number in `latest` and 31 bits of it in `seq`.
 * A reader that loads all of `latest` may find two halves that do not belong together,
 * once in 2^24 frames: `seq` is not that of the number then, so that it tries again.
 * Whoever finds `heartbeat` so is an age of some 4 s off, to either side. */
struct shmnumpy_header {
  uint8_t magic[8]; /* SHMNUMPY_MAGIC, written last */
  uint32_t abi;     /* SHMNUMPY_ABI */
  uint32_t header_bytes;
  uint64_t generation;    /* grows with each new inode under this name */
  uint64_t segment_bytes; /* at most the size of the file */
  uint32_t slot_count;    /* 2 ... SHMNUMPY_MAX_SLOTS */
  uint32_t slot_desc_bytes;
  uint64_t slot_desc_offset;
  uint64_t data_offset;
  uint64_t slot_stride; /* bytes from one slot's pixels to the next */
  uint32_t reader_rows; /* 0: no pins */
  uint32_t reader_row_bytes;
  uint64_t reader_table_offset;
  uint32_t writer_pid; /* to be shown, never to be tested: see Liveness */
  uint32_t flags;      /* SHMNUMPY_WRITER_* */
  uint64_t writer_start_boottime_ns;
  uint64_t created_realtime_ns;
  uint8_t reserved0[24];
  uint64_t latest;    /* atomic: frame_no << 8 | (slot + 1); 0 = none yet */
  uint64_t heartbeat; /* atomic: ns, CLOCK_MONOTONIC; each frame and each 250 ms */
  uint64_t published; /* atomic: frames */
  uint32_t state;     /* atomic: enum shmnumpy_state */
  uint32_t wake;      /* atomic, futex: +1 per frame and per change of state */
  uint8_t reserved1[32];
  uint64_t stat_dropped;       /* frames that arrived and were not published */
  uint64_t stat_copied;        /* frames that were copied, not written in place */
  uint64_t stat_pins_revoked;  /* 0 without pins */
  uint64_t stat_legacy_copies; /* frames written to NAME */
  uint64_t reserved_stats[4];
  char notify_path[108]; /* reserved for a notifier socket: all zero in 2.0 */
  uint32_t reserved2;
  char producer[64]; /* UTF-8, NUL-terminated: who makes the frames */
  uint8_t touched;   /* 0: written with pwrite() after each change of `wake`, so that
                        inotify tells of it (IN_MODIFY); 2.3 */
  uint8_t reserved3[0x1000 - 0x1b1];
};

SHMNUMPY_AT_(shmnumpy_header, magic, 0x00);
SHMNUMPY_AT_(shmnumpy_header, abi, 0x08);
SHMNUMPY_AT_(shmnumpy_header, header_bytes, 0x0c);
SHMNUMPY_AT_(shmnumpy_header, generation, 0x10);
SHMNUMPY_AT_(shmnumpy_header, segment_bytes, 0x18);
SHMNUMPY_AT_(shmnumpy_header, slot_count, 0x20);
SHMNUMPY_AT_(shmnumpy_header, slot_desc_bytes, 0x24);
SHMNUMPY_AT_(shmnumpy_header, slot_desc_offset, 0x28);
SHMNUMPY_AT_(shmnumpy_header, data_offset, 0x30);
SHMNUMPY_AT_(shmnumpy_header, slot_stride, 0x38);
SHMNUMPY_AT_(shmnumpy_header, reader_rows, 0x40);
SHMNUMPY_AT_(shmnumpy_header, reader_row_bytes, 0x44);
SHMNUMPY_AT_(shmnumpy_header, reader_table_offset, 0x48);
SHMNUMPY_AT_(shmnumpy_header, writer_pid, 0x50);
SHMNUMPY_AT_(shmnumpy_header, flags, 0x54);
SHMNUMPY_AT_(shmnumpy_header, writer_start_boottime_ns, 0x58);
SHMNUMPY_AT_(shmnumpy_header, created_realtime_ns, 0x60);
SHMNUMPY_AT_(shmnumpy_header, latest, 0x80);
SHMNUMPY_AT_(shmnumpy_header, heartbeat, 0x88);
SHMNUMPY_AT_(shmnumpy_header, published, 0x90);
SHMNUMPY_AT_(shmnumpy_header, state, 0x98);
SHMNUMPY_AT_(shmnumpy_header, wake, 0x9c);
SHMNUMPY_AT_(shmnumpy_header, stat_dropped, 0xc0);
SHMNUMPY_AT_(shmnumpy_header, stat_copied, 0xc8);
SHMNUMPY_AT_(shmnumpy_header, stat_pins_revoked, 0xd0);
SHMNUMPY_AT_(shmnumpy_header, stat_legacy_copies, 0xd8);
SHMNUMPY_AT_(shmnumpy_header, notify_path, 0x100);
SHMNUMPY_AT_(shmnumpy_header, producer, 0x170);
SHMNUMPY_AT_(shmnumpy_header, touched, 0x1b0);
SHMNUMPY_ASSERT_(sizeof(struct shmnumpy_header) == SHMNUMPY_HEADER_BYTES);

struct shmnumpy_plane {
  uint64_t offset; /* from shmnumpy_slot.data_offset */
  uint32_t stride; /* bytes from row to row */
  uint32_t rows;
};

SHMNUMPY_AT_(shmnumpy_plane, offset, 0);
SHMNUMPY_AT_(shmnumpy_plane, stride, 8);
SHMNUMPY_AT_(shmnumpy_plane, rows, 12);
SHMNUMPY_ASSERT_(sizeof(struct shmnumpy_plane) == 16);

/* One per slot. Everything but `seq` and `data_offset` is valid only while seq is even
 * and equal to 2 * frame_no. Size and format may change from frame to frame. */
struct shmnumpy_slot {
  uint64_t seq;         /* atomic: 0 never used; odd being written; 2 * frame_no whole */
  uint64_t frame_no;    /* from 1; goes on over growth of the ring */
  uint64_t data_offset; /* of the frame, from the start of the segment */
  uint64_t data_bytes;  /* of the frame */
  uint32_t width;       /* pixels */
  uint32_t height;
  uint32_t n_planes; /* 1 ... SHMNUMPY_MAX_PLANES */
  uint32_t flags;    /* SHMNUMPY_FRAME_* */
  char format[16];   /* one of SHMNUMPY_*_FORMATS, NUL-terminated */
  struct shmnumpy_plane planes[SHMNUMPY_MAX_PLANES];
  int64_t pts;                /* ns, stream time stamp; SHMNUMPY_NO_TIME if none */
  int64_t duration;           /* ns */
  int64_t running_time;       /* ns since the pipeline started playing */
  int64_t capture_utc;        /* ns since 1970, sender's clock */
  uint64_t publish_monotonic; /* ns, CLOCK_MONOTONIC */
  uint64_t publish_utc;       /* ns since 1970 */
  uint32_t fps_n;             /* 0/1 = unknown or variable */
  uint32_t fps_d;
  uint32_t par_n; /* shape of a pixel */
  uint32_t par_d;
  char colorimetry[24]; /* GStreamer's text, of the pixels in the slot; may be empty */
  uint32_t orientation; /* degrees clockwise to turn it by: 0, 90, 180, 270; 2.1 */
  uint32_t reserved0;
  uint64_t ref_frame_no;  /* of the frame this one was made from; 0 = none; 2.2 */
  uint64_t due_monotonic; /* ns, CLOCK_MONOTONIC, at which the running time of the
                             pipeline is that of the frame; 0 = unknown; 2.2 */
  uint8_t reserved1[16];
};

SHMNUMPY_AT_(shmnumpy_slot, seq, 0);
SHMNUMPY_AT_(shmnumpy_slot, frame_no, 8);
SHMNUMPY_AT_(shmnumpy_slot, data_offset, 16);
SHMNUMPY_AT_(shmnumpy_slot, data_bytes, 24);
SHMNUMPY_AT_(shmnumpy_slot, width, 32);
SHMNUMPY_AT_(shmnumpy_slot, height, 36);
SHMNUMPY_AT_(shmnumpy_slot, n_planes, 40);
SHMNUMPY_AT_(shmnumpy_slot, flags, 44);
SHMNUMPY_AT_(shmnumpy_slot, format, 48);
SHMNUMPY_AT_(shmnumpy_slot, planes, 64);
SHMNUMPY_AT_(shmnumpy_slot, pts, 128);
SHMNUMPY_AT_(shmnumpy_slot, duration, 136);
SHMNUMPY_AT_(shmnumpy_slot, running_time, 144);
SHMNUMPY_AT_(shmnumpy_slot, capture_utc, 152);
SHMNUMPY_AT_(shmnumpy_slot, publish_monotonic, 160);
SHMNUMPY_AT_(shmnumpy_slot, publish_utc, 168);
SHMNUMPY_AT_(shmnumpy_slot, fps_n, 176);
SHMNUMPY_AT_(shmnumpy_slot, fps_d, 180);
SHMNUMPY_AT_(shmnumpy_slot, par_n, 184);
SHMNUMPY_AT_(shmnumpy_slot, par_d, 188);
SHMNUMPY_AT_(shmnumpy_slot, colorimetry, 192);
SHMNUMPY_AT_(shmnumpy_slot, orientation, 216);
SHMNUMPY_AT_(shmnumpy_slot, reserved0, 220);
SHMNUMPY_AT_(shmnumpy_slot, ref_frame_no, 224);
SHMNUMPY_AT_(shmnumpy_slot, due_monotonic, 232);
SHMNUMPY_AT_(shmnumpy_slot, reserved1, 240);
SHMNUMPY_ASSERT_(sizeof(struct shmnumpy_slot) == 256);

/* Reserved: a reader that pins a frame would write its own row, claimed with an OFD lock.
 */
struct shmnumpy_reader {
  uint32_t pid;
  uint32_t flags;
  uint64_t pin;       /* frame_no << 8 | (slot + 1); 0 = none */
  uint64_t pin_since; /* ns, CLOCK_MONOTONIC */
  uint64_t consumed;  /* number of the last frame used */
  uint64_t heartbeat; /* ns, CLOCK_MONOTONIC */
  char name[24];
};

SHMNUMPY_AT_(shmnumpy_reader, pid, 0);
SHMNUMPY_AT_(shmnumpy_reader, flags, 4);
SHMNUMPY_AT_(shmnumpy_reader, pin, 8);
SHMNUMPY_AT_(shmnumpy_reader, pin_since, 16);
SHMNUMPY_AT_(shmnumpy_reader, consumed, 24);
SHMNUMPY_AT_(shmnumpy_reader, heartbeat, 32);
SHMNUMPY_AT_(shmnumpy_reader, name, 40);
SHMNUMPY_ASSERT_(sizeof(struct shmnumpy_reader) == 64);

SHMNUMPY_ASSERT_(sizeof(SHMNUMPY_MAGIC) == 8);
SHMNUMPY_ASSERT_(SHMNUMPY_SLOT_DESC_OFFSET + SHMNUMPY_MAX_SLOTS * 256 <=
                 SHMNUMPY_READER_TABLE_OFFSET);

#undef SHMNUMPY_AT_
#undef SHMNUMPY_ASSERT_
