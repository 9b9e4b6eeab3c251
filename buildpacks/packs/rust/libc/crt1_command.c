// A command's entry: constructors first, then main, then destructors.
//
// The 2022 start object leaves constructors to the linker, and the linker leaves them out once std's bindings name
// __wasm_call_ctors. The symptom is a command that sees none of its directories.
#include "working_directory.h"

extern void __wasm_call_ctors(void);
extern void __wasm_call_dtors(void);
extern int __main_void(void);

__attribute__((export_name("_start"))) void _start(void) {
  __wasm_call_ctors();
  int status = __main_void();
  if (status) exit(status);
  __wasm_call_dtors();
}
