// A library's entry: constructors, once.
#include "working_directory.h"

extern void __wasm_call_ctors(void);

__attribute__((export_name("_initialize"))) void _initialize(void) { __wasm_call_ctors(); }
