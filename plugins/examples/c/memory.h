#pragma once

/// Gives back all memory that was asked for, at the end of a call: what the server passed in is not needed any more.
void forget_all(void);
