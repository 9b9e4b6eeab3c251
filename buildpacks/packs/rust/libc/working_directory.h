// Puts the program where the host says it is, before anything of its own runs.
//
// This libc takes "/" for the working directory, whatever the host says, so an app would not find the files beside it by
// their relative names.
#include <stdlib.h>
#include <unistd.h>

// After the libc's own constructors (priority 50), which learn of the directories; before those of the app.
__attribute__((constructor(101))) static void enter_working_directory(void) {
  const char *directory = getenv("PWD");
  // A host that names no directory, or none that is there, leaves "/" to us.
  if (directory && chdir(directory)) return;
}
