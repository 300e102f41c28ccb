// SPDX-License-Identifier: LGPL-2.1-or-later
// When to ask for a missing packet, when to ask again, and how long to wait for it:
// estimated from what the packets of one RTP stream do. Times are told, in microseconds
// of a monotonic clock, so that it can be tried on any. Thread: one at a time; the owner
// locks.
//
// rtpjitterbuffer's own estimates ask again just when the answer arrives, never start
// when the round trip is above 40 ms, and do not see that packets overtake each other.
#pragma once

#include <cstdint>
#include <deque>
#include <map>

#include <glib.h>

#include "recent.h"

namespace vdn {

// What is gathered in the present period, and was in the one before it.
template <typename T> struct Periods {
  T before, now;
  gint64 began = 0;

  // Before `now` is added to or read.
  void turn(gint64 at, gint64 length) {
    if (at - began < length)
      return;
    before = at - began < 2 * length ? now : T();
    now = T();
    began = at;
  }
};

// By how much the ways of packets differ, of late: from the quickest to the slowest of
// the last 10 to 20 s.
class Transit {
public:
  // Both in us, of any two clocks. False when one of them jumped, and nothing is known of
  // before.
  bool arrived(gint64 sent, gint64 now);
  gint64 spread() const;

private:
  struct Range {
    gint64 least = G_MAXINT64, most = G_MININT64;
  };

  Periods<Range> ways_;
  gint64 last_ = G_MAXINT64; // way
};

class RepairTiming {
public:
  // For a rtpjitterbuffer, in ms: `rtx-delay`, `rtx-retry-timeout`, `latency`; and
  // `rtx-max-retries`, -1: as often as there is time. Then how often TWCC reports go out.
  struct Settings {
    unsigned delay = 0, retry = 150, wait = 1000;
    int max_requests = -1;
    unsigned report = 50;
  };
  struct Counts {
    guint64 packets = 0, missed = 0;
    guint64 requests = 0;     // that left
    guint64 repaired = 0;     // came as retransmissions
    guint64 duplicates = 0;   // retransmissions of what was there
    guint64 out_of_order = 0; // came late, and were sent once
    guint64 given_up = 0;
  };

  // Whether it came after a silence in which so much was lost that a keyframe is there
  // sooner than all of that: it is not to be asked for, nor waited for.
  bool arrived(uint16_t number, uint32_t timestamp, bool retransmitted, gint64 now);
  // Whether the request may leave: where most are in vain, one does for each four packets
  // that come.
  bool requested(uint16_t number, gint64 now);
  void gave_up();
  // Of somebody else's measurement, until there is one of packets.
  void hint_round_trip(gint64 us) { hint_ = us; }
  // Whether every packet is of use, however late.
  void keep_all(bool wanted) { keeps_all_ = wanted; }
  Settings settings(gint64 now);

  // Whether what is asked for is never sent again, by all that is known.
  bool is_unanswered() const {
    return !counts_.repaired && counts_.requests >= kManyRequests &&
           counts_.given_up >= kManyGivenUp;
  }

  const Counts &counts() const { return counts_; }
  // us; of packets, else as hinted, 0: not known.
  gint64 round_trip() const { return round_trip_ ? round_trip_ : hint_; }
  gint64 spread() const { return deviation_; }
  // From the gap to the repair, the 95th percentile of the last ones, us; 0: none yet.
  gint64 repaired_in() const { return repairs_.p95(); }

private:
  static constexpr unsigned kManyRequests = 50, kManyGivenUp = 20;

  struct Missing {
    gint64 since;
    gint64 first_request = 0, last_request = 0;
    unsigned requests = 0;
  };
  // Packets that others had overtaken, and by how much at most.
  struct Late {
    unsigned count = 0;
    gint64 most = 0;
  };

  void start_over(uint16_t number);
  void advance(uint16_t by, gint64 now);
  void skip(uint16_t by);
  void fill(uint16_t behind, uint32_t timestamp, bool retransmitted, gint64 now);
  void repair(const Missing &missing, gint64 now);
  void measure(gint64 sample);
  gint64 picture_began(uint32_t timestamp, gint64 otherwise) const;
  void count_share(gint64 now);
  unsigned wait(gint64 now);
  gint64 latest_overtaken(gint64 now);

  bool started_ = false;
  bool keeps_all_ = false;
  unsigned far_behind_ = 0; // packets in a row
  gint64 arrived_ = 0;      // the last that was not behind
  guint64 highest_ = 0;     // sequence number, extended
  // What is not asked for, up to the number behind it.
  guint64 skipped_from_ = 0, skipped_to_ = 0;
  std::map<guint64, Missing> missing_;
  std::deque<std::pair<uint32_t, gint64>> pictures_; // RTP timestamp, first packet at
  Periods<Late> late_;
  Counts counts_;
  bool retransmits_ = false; // in a stream of its own, as RFC 4588 says
  gint64 hint_ = 0, round_trip_ = 0;
  // Times in a row that it was not known what repairs answer.
  unsigned unclear_ = 0;
  gint64 unclear_at_ = G_MININT64 / 2;
  gint64 below_ = 0;     // by how much shorter round trips are shorter
  gint64 deviation_ = 0; // of all
  unsigned wait_ = 1000;
  gint64 wait_changed_ = 0;
  struct {
    gint64 began = 0;
    guint64 packets = 0, requests = 0, wishes = 0, repaired = 0;
  } window_;                // that is counted
  guint64 wishes_ = 0;      // requests, those that did not leave among them
  bool is_flooded_ = false; // with losses
  unsigned allowance_ = 0;  // quarters of a request, while it is
  Recent repairs_;
};

} // namespace vdn
