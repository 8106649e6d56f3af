/* Where the time of a device's runs goes: every call of a kernel, timed. */
#ifndef GR_PROGRAM_PROFILE_H
#define GR_PROGRAM_PROFILE_H

#include "program/program.h"

/* Runs the program's steps one by one for the device's profile. */
gr_status gr_profile_run(gr_profile *profile, gr_program *p);
/* The host has what it wanted of the run; copies in and out lie between this and the run's beginning. */
void gr_profile_ran(gr_profile *profile, double began);

#endif
