// SPDX-License-Identifier: MIT
//
// Frames of a VDO.Ninja stream as cv::Mat, through OpenCV's own GStreamer pipelines:
//   opencv-capture "vdoninjasrc stream-id=abc" 100
#include <cstdio>
#include <cstdlib>
#include <string>

#include <opencv2/core.hpp>
#include <opencv2/videoio.hpp>

int main(int argc, char **argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s SOURCE FRAMES\n", argv[0]);
    return 2;
  }
  // Few buffers, and old ones dropped: what is read is what is seen now.
  cv::VideoCapture capture(std::string(argv[1]) +
                               " ! videoconvert ! video/x-raw,format=BGR ! appsink "
                               "drop=true max-buffers=2 sync=false",
                           cv::CAP_GSTREAMER);
  if (!capture.isOpened()) {
    std::fprintf(stderr, "cannot play %s\n", argv[1]);
    return 1;
  }
  cv::Mat frame;
  for (long left = std::atol(argv[2]); left > 0; left--) {
    if (!capture.read(frame)) {
      std::fprintf(stderr, "the stream ended\n");
      return 1;
    }
    cv::Scalar mean, deviation;
    cv::meanStdDev(frame, mean, deviation);
    std::printf("%dx%d, deviation %.1f\n", frame.cols, frame.rows, deviation[0]);
  }
  return 0;
}
