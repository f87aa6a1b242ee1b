// Memory of this process and what is left for it, in bytes, from Linux' /proc; infinity or 0 where it does not say.
#pragma once

namespace metalff {

double resident_bytes();
/// The largest resident_bytes() since the last forget_peak().
double peak_bytes();
/// False where the kernel cannot.
bool forget_peak();
/// Gives free heap back, so that resident_bytes() counts what is in use.
void trim_heap();

/// Left on this machine for all processes of the job: free memory and the limits of its control groups.
double free_bytes_of_machine();
/// Left for this process alone: the limit of its address space (ulimit -v).
double free_bytes_of_process();

}    // namespace metalff
