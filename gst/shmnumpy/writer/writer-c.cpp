// SPDX-License-Identifier: LGPL-2.1-or-later
#include "writer-c.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "mutex.h"
#include "shm-writer.h"

using vdn::shm::Error;
using vdn::shm::ErrorKind;
using vdn::shm::Ring;
using vdn::shm::Slot;
using vdn::shm::Writer;

struct shmnumpy_writer {
  vdn::Mutex mutex;
  std::string warning GUARDED_BY(mutex); // the last that nobody was given
  uint64_t frame_no = 0;
  std::unique_ptr<Writer> writer; // last: its thread warns
};

struct shmnumpy_place {
  std::shared_ptr<Ring> ring; // keeps the memory once the slot is given back
  std::unique_ptr<Slot> slot;
  uint8_t *pixels;
};

static void tell(const Error &error, shmnumpy_error *to) {
  switch (error.kind) {
  case ErrorKind::BadName:
  case ErrorKind::BadAddress:
    to->number = EINVAL;
    break;
  case ErrorKind::Busy:
    to->number = EBUSY;
    break;
  case ErrorKind::Denied:
    to->number = EACCES;
    break;
  case ErrorKind::NoSpace:
    to->number = ENOSPC;
    break;
  case ErrorKind::Failed:
    to->number = EIO;
    break;
  }
  snprintf(to->text, sizeof(to->text), "%s", error.message.c_str());
}

static void hand_out_warning(shmnumpy_writer *self, shmnumpy_error *to) {
  vdn::Lock lock(self->mutex);
  to->number = 0;
  snprintf(to->text, sizeof(to->text), "%s", self->warning.c_str());
  self->warning.clear();
}

uint32_t shmnumpy_writer_abi(void) {
  return SHMNUMPY_ABI;
}

shmnumpy_writer *shmnumpy_writer_start(const char *name, uint32_t mode, uint32_t slots,
                                       shmnumpy_error *error) {
  vdn::shm::Config config;
  config.name = name;
  config.mode = mode;
  config.slots = slots;
  config.legacy = vdn::shm::LegacyMode::Never;
  Error problem;
  auto self = std::make_unique<shmnumpy_writer>();
  const auto warn = [to = self.get()](const std::string &text) {
    vdn::Lock lock(to->mutex);
    to->warning = text;
  };
  self->writer = Writer::start(config, warn, &problem);
  if (!self->writer) {
    tell(problem, error);
    return nullptr;
  }
  return self.release();
}

shmnumpy_place *shmnumpy_writer_acquire(shmnumpy_writer *self, uint64_t bytes,
                                        shmnumpy_error *error) {
  Error problem;
  if (!self->writer->fit(bytes, &problem)) {
    tell(problem, error);
    return nullptr;
  }
  hand_out_warning(self, error);
  auto slot = std::make_unique<Slot>(self->writer->acquire(Ring::Use::Sink));
  if (!*slot) {
    self->writer->count_dropped();
    return nullptr;
  }
  uint8_t *pixels = slot->pixels();
  return new shmnumpy_place{self->writer->ring(), std::move(slot), pixels};
}

uint8_t *shmnumpy_place_pixels(const shmnumpy_place *place) {
  return place->pixels;
}

uint64_t shmnumpy_writer_publish(shmnumpy_writer *self, shmnumpy_place *place,
                                 const shmnumpy_slot *frame) {
  const bool good = place->slot && self->writer->publish(place->pixels, *frame) !=
                                       Writer::Outcome::NotASlot;
  place->slot.reset();
  if (!good) {
    self->writer->count_dropped();
    return 0;
  }
  return ++self->frame_no;
}

void shmnumpy_place_abandon(shmnumpy_place *place) {
  place->slot.reset();
}

void shmnumpy_place_free(shmnumpy_place *place) {
  delete place;
}

void shmnumpy_writer_set_state(shmnumpy_writer *self, uint32_t state) {
  self->writer->set_state(static_cast<shmnumpy_state>(state));
}

void shmnumpy_writer_stop(shmnumpy_writer *self) {
  delete self;
}
