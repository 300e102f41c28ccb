// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bad-line.h"

#include <algorithm>
#include <sstream>
#include <string>

#include <cstdlib>

namespace vdn {

// In [0, 1).
double BadLine::chance() {
  return random_() / 4294967296.0;
}

// Gilbert's model: runs of `burst` packets on average, as many as the share needs.
bool BadLine::loses(double draw) {
  const double loss = conditions_.loss, burst = conditions_.burst;
  double share = loss;
  if (burst > 1 && loss > 0 && loss < 1)
    share = losing_ ? 1 - 1 / burst : loss / (burst * (1 - loss));
  return draw < share;
}

BadLine::Verdict BadLine::take(int64_t now_us, size_t bytes) {
  // Always the same number of draws a packet, whatever the conditions.
  const double loss = chance(), jitter = chance(), reorder = chance();
  losing_ = loses(loss);
  if (losing_)
    return {Fate::kLost, 0};
  int64_t due_us = now_us;
  if (conditions_.rate_kbps > 0) {
    busy_us_ = std::max(busy_us_, now_us);
    if (busy_us_ - now_us > conditions_.queue_ms * 1000)
      return {Fate::kOverflowed, 0};
    busy_us_ += (bytes + kHeaderBytes) * 8 * 1000 / conditions_.rate_kbps;
    due_us = busy_us_;
  }
  due_us += conditions_.delay_ms * 1000;
  due_us += static_cast<int64_t>(jitter * conditions_.jitter_ms * 1000);
  if (!conditions_.overtaking)
    due_us = std::max(due_us, latest_us_);
  latest_us_ = std::max(latest_us_, due_us);
  if (reorder < conditions_.reorder)
    due_us += kHeldBackMs * 1000;
  return {Fate::kPassed, due_us};
}

namespace {

struct Named {
  const char *name, *text;
};

const Named kLines[] = {
    {"clean", "|"},
    {"lan", "delay=5|delay=5"},
    {"wifi", "loss=0.01 delay=5 jitter=20|loss=0.01 delay=5 jitter=20"},
    {"rtt100", "delay=50|delay=50"},
    {"loss2", "loss=0.02 delay=20|delay=20"},
    {"loss5", "loss=0.05 delay=20|loss=0.02 delay=20"},
    {"loss10", "loss=0.1 delay=30 jitter=20|loss=0.05 delay=30"},
    {"burst", "loss=0.03 burst=6 delay=20|delay=20"},
    {"reorder", "delay=20 jitter=30 reorder=1|delay=20"},
    {"thin", "rate=1200 delay=20 queue=300|delay=20"},
    {"lte", "rate=4000 loss=0.01 delay=40 jitter=40|delay=40 jitter=20"},
};

bool parse_word(const std::string &word, PathConditions *into) {
  const size_t equals = word.find('=');
  if (equals == std::string::npos)
    return false;
  const std::string key = word.substr(0, equals);
  const char *text = word.c_str() + equals + 1;
  char *end = nullptr;
  const double value = std::strtod(text, &end);
  if (end == text || *end != '\0' || !(value >= 0 && value <= 1e6))
    return false;
  if (key == "loss" && value <= 1)
    into->loss = value;
  else if (key == "burst" && value >= 1)
    into->burst = value;
  else if (key == "delay")
    into->delay_ms = static_cast<unsigned>(value);
  else if (key == "jitter")
    into->jitter_ms = static_cast<unsigned>(value);
  else if (key == "rate")
    into->rate_kbps = static_cast<unsigned>(value);
  else if (key == "queue")
    into->queue_ms = static_cast<unsigned>(value);
  else if (key == "reorder")
    into->overtaking = value != 0;
  else
    return false;
  return true;
}

bool parse_conditions(const std::string &text, PathConditions *into) {
  *into = PathConditions();
  into->overtaking = false;
  std::istringstream words(text);
  for (std::string word; words >> word;)
    if (!parse_word(word, into))
      return false;
  return true;
}

} // namespace

bool find_line(std::string_view name, Line *line) {
  const auto *const known =
      std::find_if(std::begin(kLines), std::end(kLines),
                   [&](const Named &one) { return name == one.name; });
  const std::string text(known == std::end(kLines) ? name : known->text);
  const size_t bar = text.find('|');
  return bar != std::string::npos &&
         parse_conditions(text.substr(0, bar), &line->to_viewer) &&
         parse_conditions(text.substr(bar + 1), &line->to_publisher);
}

} // namespace vdn
