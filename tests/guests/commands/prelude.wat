;; What every command here begins with. Descriptor 3 is /app, 4 is /tmp. Bytes 0 to 127 are the prelude's: 8 takes an
;; opened descriptor, 16 a count; from 64 on is the text that is said.
(import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $set_size (param i32 i64) (result i32)))
(import "wasi_snapshot_preview1" "fd_pwrite" (func $write_at (param i32 i32 i32 i64 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "path_create_directory" (func $create_directory (param i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "path_link" (func $link (param i32 i32 i32 i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
(memory (export "memory") 4)
;; What is written: 64 KiB from 65536 on. What is said: three bytes.
(data (i32.const 24) "\00\00\01\00\00\00\01\00")
(data (i32.const 32) "\40\00\00\00\03\00\00\00")

;; Opens a path below a directory; 0, or an error's number. Flags: 1 create, 4 exclusive, 8 truncate.
(func $open (param $directory i32) (param $path i32) (param $length i32) (param $flags i32) (result i32)
  (call $path_open (local.get $directory) (i32.const 1) (local.get $path) (local.get $length) (local.get $flags)
    (i64.const 0x42) (i64.const 0) (i32.const 0) (i32.const 8)))

;; Writes 64 KiB to what was opened last; 0, or an error's number.
(func $write (result i32)
  (call $fd_write (i32.load (i32.const 8)) (i32.const 24) (i32.const 1) (i32.const 16)))

;; Prints a number of two digits.
(func $say (param $number i32)
  (i32.store8 (i32.const 64) (i32.add (i32.const 48) (i32.div_u (local.get $number) (i32.const 10))))
  (i32.store8 (i32.const 65) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
  (i32.store8 (i32.const 66) (i32.const 10))
  (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 16))))
