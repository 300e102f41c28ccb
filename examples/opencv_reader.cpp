// SPDX-License-Identifier: MIT
//
// Frames from shmnumpysink as cv::Mat, without a copy:
//   gst-launch-1.0 videotestsrc ! video/x-raw,format=BGR ! shmnumpysink shm-name=test
//   opencv-reader --name test --frames 100 --write last.jpg
#include "shmnumpy-reader.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

namespace {

struct Options {
  std::string name = "psm_raspininja_streamid";
  std::string write;
  unsigned long frames = 0; // 0 = until the stream ends
  double seconds = 10;      // without a frame after which to give up
};

bool parse(int argc, char **argv, Options *options) {
  for (int i = 1; i + 1 < argc; i += 2) {
    std::string key = argv[i], value = argv[i + 1];
    if (key == "--name")
      options->name = value;
    else if (key == "--write")
      options->write = value;
    else if (key == "--frames")
      options->frames = std::strtoul(value.c_str(), nullptr, 10);
    else if (key == "--seconds")
      options->seconds = std::strtod(value.c_str(), nullptr);
    else
      return false;
  }
  return argc % 2;
}

// A header over the pixels of the frame where the format allows it, else converted.
// To be looked at only: the pixels are mapped read-only, so clone() before drawing.
cv::Mat to_bgr(const shmnumpy::Frame &frame) {
  auto mat = [&](int type, int plane = 0) {
    const shmnumpy::Plane &p = frame.planes[plane];
    int channels = CV_MAT_CN(type);
    return cv::Mat(static_cast<int>(p.rows), static_cast<int>(p.row_bytes) / channels,
                   type, const_cast<uint8_t *>(p.data), p.stride);
  };
  cv::Mat bgr;
  if (frame.format == "BGR")
    return mat(CV_8UC3);
  if (frame.format == "RGB")
    cv::cvtColor(mat(CV_8UC3), bgr, cv::COLOR_RGB2BGR);
  else if (frame.format == "BGRx" || frame.format == "BGRA")
    cv::cvtColor(mat(CV_8UC4), bgr, cv::COLOR_BGRA2BGR);
  else if (frame.format == "RGBx" || frame.format == "RGBA")
    cv::cvtColor(mat(CV_8UC4), bgr, cv::COLOR_RGBA2BGR);
  else if (frame.format == "GRAY8")
    cv::cvtColor(mat(CV_8UC1), bgr, cv::COLOR_GRAY2BGR);
  else if (frame.format == "NV12" && frame.width % 2 == 0 && frame.height % 2 == 0)
    cv::cvtColorTwoPlane(mat(CV_8UC1), mat(CV_8UC2, 1), bgr, cv::COLOR_YUV2BGR_NV12);
  return bgr;
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  if (!parse(argc, argv, &options)) {
    std::fprintf(stderr,
                 "usage: %s [--name NAME] [--frames N] [--seconds S] [--write FILE]\n",
                 argv[0]);
    return 2;
  }
  auto patience = std::chrono::nanoseconds(static_cast<int64_t>(options.seconds * 1e9));
  shmnumpy::Reader reader(options.name, true);
  unsigned long whole = 0, torn = 0;
  while (!options.frames || whole < options.frames) {
    auto frame = reader.read(patience);
    if (!frame)
      break;
    cv::Mat bgr = to_bgr(*frame);
    if (bgr.empty()) {
      std::fprintf(stderr, "%s is not shown by this example\n", frame->format.c_str());
      return 1;
    }
    cv::Scalar mean = cv::mean(bgr);
    bool last = ++whole == options.frames;
    if (last && !options.write.empty() && !cv::imwrite(options.write, bgr))
      return 1;
    if (!frame->valid()) { // overwritten while it was worked on: forget the result
      --whole;
      ++torn;
      continue;
    }
    std::printf("frame %llu: %ux%u %s, mean B %.0f G %.0f R %.0f, missed %llu\n",
                static_cast<unsigned long long>(frame->number), frame->width,
                frame->height, frame->format.c_str(), mean[0], mean[1], mean[2],
                static_cast<unsigned long long>(frame->missed));
  }
  if (!reader.error().empty())
    std::fprintf(stderr, "%s\n", reader.error().c_str());
  std::printf("%lu frames, %lu overwritten while in use\n", whole, torn);
  return whole && whole >= options.frames && reader.error().empty() ? 0 : 1;
}
