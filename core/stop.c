/* SPDX-License-Identifier: Apache-2.0
 * The stop flag: set by the signal handlers of the frame, read everywhere. */
#include "stop.h"
#include <signal.h>

static volatile sig_atomic_t flag;
int stop_requested(void) { return flag != 0; }
void stop_request(int signal_number) { flag = signal_number; }
int stop_signal(void) { return flag; }
