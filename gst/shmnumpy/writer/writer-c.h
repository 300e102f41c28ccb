/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The writer for other languages, as libshmnumpy-writer.so.0: python/shmnumpy calls it
 * through ctypes. What it does is what shm-writer.h says. Thread: any, one call at a time
 * for one writer, and for one place; those of a place alone may be made beside others.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shm-layout.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SHMNUMPY_WRITER_API __attribute__((visibility("default")))

struct shmnumpy_writer;
struct shmnumpy_place; /* a slot that is being filled, and the memory that it lies in */

/* Why a call failed: an errno that fits (EINVAL, EBUSY, EACCES, ENOSPC, EIO), and a text,
 * UTF-8, that names value and remedy. */
struct shmnumpy_error {
  int number;
  char text[508];
};

/* What this library was built for: SHMNUMPY_ABI. */
SHMNUMPY_WRITER_API uint32_t shmnumpy_writer_abi(void);

/* Makes NAME.ring. mode as for chmod, slots 0 for as many as are useful. Null on errors.
 * The caller ends it with shmnumpy_writer_stop(). */
SHMNUMPY_WRITER_API struct shmnumpy_writer *
shmnumpy_writer_start(const char *name, uint32_t mode, uint32_t slots,
                      struct shmnumpy_error *error);

/* A slot with room for `bytes`, marked as being written; the ring grows for it. Null
 * with error->number 0 where all slots are held, or readers still hold the smaller ring:
 * the frame is counted as dropped. The caller frees it. Where error->number is 0 its text
 * is a warning that was not given before, or empty. */
SHMNUMPY_WRITER_API struct shmnumpy_place *
shmnumpy_writer_acquire(struct shmnumpy_writer *writer, uint64_t bytes,
                        struct shmnumpy_error *error);

/* Where its pixels begin. They may be written until it is published, and are memory
 * until it is freed, also after the writer was stopped. */
SHMNUMPY_WRITER_API uint8_t *shmnumpy_place_pixels(const struct shmnumpy_place *place);

/* Makes it the latest frame; returns its number. Of `frame` the fields from data_bytes on
 * are used, times of publication excepted. 0 if the ring was replaced meanwhile, or the
 * place was published before: the frame is counted as dropped. */
SHMNUMPY_WRITER_API uint64_t shmnumpy_writer_publish(struct shmnumpy_writer *writer,
                                                     struct shmnumpy_place *place,
                                                     const struct shmnumpy_slot *frame);

/* Gives the slot back without publishing it; the memory stays. */
SHMNUMPY_WRITER_API void shmnumpy_place_abandon(struct shmnumpy_place *place);

SHMNUMPY_WRITER_API void shmnumpy_place_free(struct shmnumpy_place *place);

/* Shows readers an enum shmnumpy_state; the next frame makes it LIVE. */
SHMNUMPY_WRITER_API void shmnumpy_writer_set_state(struct shmnumpy_writer *writer,
                                                   uint32_t state);

/* Tells the readers, removes the names and frees the writer. */
SHMNUMPY_WRITER_API void shmnumpy_writer_stop(struct shmnumpy_writer *writer);

#ifdef __cplusplus
}
#endif
