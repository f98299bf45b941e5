/* SPDX-License-Identifier: Apache-2.0
 * Whether the process was asked to stop (SIGINT, SIGTERM): finish the row, close the books, return STATUS_STOPPED. */
#ifndef CORE_STOP_H
#define CORE_STOP_H
int stop_requested(void);
void stop_request(int signal_number); /* async-signal-safe; 0 clears (tests) */
int stop_signal(void);                /* the signal that asked, 0 = none */
#endif
