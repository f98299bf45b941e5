/* SPDX-License-Identifier: Apache-2.0
 * The program is its stages (core/stages.def); the frame is core/stage.c. */
#include <locale.h>
#include "stage.h"

int main(int argc, char **argv) {
  (void)setlocale(LC_CTYPE, "C.UTF-8"); /* libarchive hands names out in the locale's characters; nothing else here looks at it */
  return stage_main(argc, argv);
}
