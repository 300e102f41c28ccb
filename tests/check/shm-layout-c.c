/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compiles the layout as C11 and tells the sizes it has there. */
#include "shm-layout.h"

unsigned shm_layout_seen_from_c(unsigned what);

unsigned shm_layout_seen_from_c(unsigned what) {
  const unsigned sizes[] = {sizeof(struct shmnumpy_header), sizeof(struct shmnumpy_slot),
                            sizeof(struct shmnumpy_plane), sizeof(struct shmnumpy_reader),
                            sizeof(struct shmnumpy_legacy_header)};
  return sizes[what];
}
