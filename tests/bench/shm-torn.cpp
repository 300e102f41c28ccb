// SPDX-License-Identifier: LGPL-2.1-or-later
// Torn frames that a reader takes for whole ones: there must be none. A writer at 60,
// 240, 1000 frames a second and as fast as it can, 1, 4 and 16 readers in processes of
// their own that are killed and replaced at random; half of the reads are copies, half
// are views. Every frame has one value in all its bytes. With a first argument, seconds
// per combination (2).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

#include "../check/shm-support.h"
#include "shm-writer.h"
#include "shmnumpy-reader.hpp"

using Clock = std::chrono::steady_clock;
using vdn::shm::Ring;
using vdn::shm::Slot;
using vdn::shm::Writer;

constexpr uint32_t kWidth = 640;
constexpr uint32_t kHeight = 360;

struct Counts {
  uint64_t whole, detected, torn;
};

static bool uniform(const uint8_t *data, size_t bytes) {
  return memcmp(data, data + 1, bytes - 1) == 0;
}

[[noreturn]] static void read_frames(const std::string &name, Counts *counts) {
  shmnumpy::Reader reader(name);
  std::vector<uint8_t> copy;
  for (unsigned turn = 0;; turn++) {
    const auto limit = std::chrono::seconds(1);
    const auto frame = turn % 2 ? reader.read(limit) : reader.read_copy(&copy, limit);
    if (!frame)
      continue;
    const bool one = uniform(frame->planes[0].data, size_t{kWidth} * kHeight * 3);
    uint64_t *counter = &counts->whole;
    if (!frame->valid())
      counter = &counts->detected;
    else if (!one)
      counter = &counts->torn;
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
  }
}

static pid_t start_reader(const std::string &name, Counts *counts) {
  const pid_t child = fork();
  if (child == 0)
    read_frames(name, counts);
  return child;
}

static void stop(pid_t reader) {
  kill(reader, SIGKILL);
  waitpid(reader, nullptr, 0);
}

static void publish(Writer &writer, uint64_t number) {
  const Slot slot = writer.acquire(Ring::Use::Sink);
  memset(slot.pixels(), static_cast<int>(number), size_t{kWidth} * kHeight * 3);
  writer.publish(slot.pixels(), shmtest::rgb_frame(kWidth, kHeight));
}

static void run(unsigned rate, unsigned count, double seconds, Counts *counts) {
  const shmtest::Name name;
  vdn::shm::Config config;
  config.name = name.text;
  config.slot_bytes = kWidth * kHeight * 3;
  config.legacy = vdn::shm::LegacyMode::Never;
  vdn::shm::Error error;
  const auto writer = Writer::start(
      config, [](const std::string &) {}, &error);
  if (!writer) {
    fprintf(stderr, "%s\n", error.message.c_str());
    exit(1);
  }
  std::vector<pid_t> readers;
  for (unsigned i = 0; i < count; i++)
    readers.push_back(start_reader(name.text, counts));
  std::minstd_rand random(rate * 100 + count);
  const auto begin = Clock::now();
  const auto end = begin + std::chrono::duration<double>(seconds);
  auto next_kill = begin;
  for (uint64_t number = 1; Clock::now() < end; number++) {
    publish(*writer, number);
    if (Clock::now() > next_kill) {
      next_kill += std::chrono::milliseconds(50 + random() % 100);
      pid_t &victim = readers[random() % count];
      stop(victim);
      victim = start_reader(name.text, counts);
    }
    if (rate)
      std::this_thread::sleep_until(begin + number * std::chrono::seconds(1) / rate);
  }
  for (pid_t reader : readers)
    stop(reader);
}

int main(int argc, char **argv) {
  const double seconds = argc > 1 ? atof(argv[1]) : 2;
  auto *counts =
      static_cast<Counts *>(mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  Counts total{};
  printf("%8s %8s %10s %10s %10s\n", "fps", "readers", "whole", "detected", "undetected");
  for (unsigned rate : {60u, 240u, 1000u, 0u})
    for (unsigned count : {1u, 4u, 16u}) {
      *counts = {};
      run(rate, count, seconds, counts);
      printf("%8s %8u %10lu %10lu %10lu\n", rate ? std::to_string(rate).c_str() : "max",
             count, static_cast<unsigned long>(counts->whole),
             static_cast<unsigned long>(counts->detected),
             static_cast<unsigned long>(counts->torn));
      fflush(stdout);
      total.whole += counts->whole;
      total.detected += counts->detected;
      total.torn += counts->torn;
    }
  printf("%lu reads, %lu torn frames detected, %lu undetected\n",
         static_cast<unsigned long>(total.whole + total.torn),
         static_cast<unsigned long>(total.detected),
         static_cast<unsigned long>(total.torn));
  return total.torn ? 1 : 0;
}
