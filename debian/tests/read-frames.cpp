// SPDX-License-Identifier: MIT
// read-frames NAME: prints the size of each of ten frames; exit status 1 without them.
#include <cstdio>

#include <shmnumpy-reader.hpp>

int main(int argc, char **argv) {
  shmnumpy::Reader reader(argc > 1 ? argv[1] : "");
  for (int count = 0; count < 10; count++) {
    auto frame = reader.read(std::chrono::seconds(20));
    if (!frame) {
      std::fprintf(stderr, "no frame: %s\n", reader.error().c_str());
      return 1;
    }
    std::printf("%ux%u %s\n", frame->width, frame->height, frame->format.c_str());
  }
  return 0;
}
