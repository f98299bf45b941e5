/* SPDX-License-Identifier: Apache-2.0
 * The program is its stages (core/stages.def); the frame is core/stage.c. */
#include "stage.h"

int main(int argc, char **argv) { return stage_main(argc, argv); }
