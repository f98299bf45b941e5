/* SPDX-License-Identifier: Apache-2.0
 * Forced into every file: calls that have better ones here. */
#ifndef CORE_BANNED_H
#define CORE_BANNED_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__GNUC__) && !defined(RETORT_ALLOW_BANNED)
#pragma GCC poison strcpy strcat sprintf vsprintf atoi atol atof strtok localtime gmtime rand srand system gets
#endif
#endif
