// The calls of wasi:io that package net needs, and the memory their results land in. Joins package net as dyno_abi_wasip1.go.

//go:build wasip1

package net

import (
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

//go:wasmimport wasi:io/poll@0.2.12 poll
func abiPoll(list unsafe.Pointer, n uint32, ret unsafe.Pointer)

//go:wasmimport wasi:io/poll@0.2.12 [resource-drop]pollable
func abiDropPollable(h int32)

//go:wasmimport wasi:io/error@0.2.12 [resource-drop]error
func abiDropError(h int32)

//go:wasmimport wasi:clocks/monotonic-clock@0.2.12 subscribe-duration
func abiTimer(ns int64) int32

//go:wasmimport wasi:io/streams@0.2.12 [method]input-stream.read
func abiRead(h int32, n int64, ret unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.check-write
func abiCheckWrite(h int32, ret unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.write
func abiWrite(h int32, p unsafe.Pointer, n uint32, ret unsafe.Pointer)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.flush
func abiFlush(h int32, ret unsafe.Pointer)

// abiArea receives the result of one host call. The host writes into the one shared abiRet; the caller copies it at once,
// because an allocation may let another goroutine run, and that one may call the host too.
type abiArea [6]uint64

var abiRet abiArea

func (a *abiArea) u8(at uintptr) byte    { return *(*byte)(unsafe.Add(unsafe.Pointer(a), at)) }
func (a *abiArea) u16(at uintptr) uint16 { return *(*uint16)(unsafe.Add(unsafe.Pointer(a), at)) }
func (a *abiArea) i32(at uintptr) int32  { return *(*int32)(unsafe.Add(unsafe.Pointer(a), at)) }
func (a *abiArea) u64(at uintptr) uint64 { return *(*uint64)(unsafe.Add(unsafe.Pointer(a), at)) }
func (a *abiArea) bytes(at, n uintptr) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(a), at)), n)
}

func abiResult() unsafe.Pointer { return unsafe.Pointer(&abiRet) }

// abiArenaBytes holds the headers of one request with room to spare: hosts cap them at 64 or 128 KiB.
const abiArenaBytes = 160 << 10

// Memory the host asks for. A list may land in the caller's own buffer (abiLanding); what does not fit there comes from the
// arena, because the Go allocator must not run inside a host call: a collection there may switch to another goroutine, and
// a call to the host from it traps. Only a list larger than the arena takes that risk.
var (
	abiLanding  []byte
	abiArena    [abiArenaBytes / 8]uint64
	abiUsed     uint32
	abiHolders  int
	abiOverflow [][]uint64
)

//go:wasmexport cabi_realloc
func abiRealloc(old unsafe.Pointer, oldBytes, align, bytes uint32) unsafe.Pointer {
	if bytes == 0 {
		return unsafe.Pointer(uintptr(align))
	}
	if old == nil && uint64(bytes) <= uint64(len(abiLanding)) {
		p := unsafe.Pointer(&abiLanding[0])
		abiLanding = nil
		return p
	}
	var p unsafe.Pointer
	words := (uint64(bytes) + 7) / 8
	if uint64(abiUsed)+words <= uint64(len(abiArena)) {
		p = unsafe.Pointer(&abiArena[abiUsed])
		abiUsed += uint32(words)
	} else {
		block := make([]uint64, words)
		abiOverflow = append(abiOverflow, block)
		p = unsafe.Pointer(&block[0])
	}
	if old != nil {
		copy(unsafe.Slice((*byte)(p), bytes), unsafe.Slice((*byte)(old), min(oldBytes, bytes)))
	}
	return p
}

// abiHold keeps the arena's contents until the matching abiRelease: call it before a host call that answers with a list,
// and release after the list was copied.
//
//go:linkname abiHold
func abiHold() { abiHolders++ }

//go:linkname abiRelease
func abiRelease() {
	abiHolders--
	if abiHolders == 0 {
		abiUsed, abiOverflow = 0, nil
	}
}

// === waiting ===
//
// A goroutine that needs a pollable registers it. When no goroutine can run, the scheduler's idle hook (see the patch of
// runtime/lock_wasip1.go) wakes the poller, which blocks in wasi:io/poll until a pollable is ready or a Go timer is due.

type abiWaiter struct {
	handle int32
	ready  chan struct{}
}

var (
	abiWaiters     []*abiWaiter
	abiStartPoller sync.Once
)

//go:linkname abiWaiting runtime.dynoWaiting
func abiWaiting(n int)

// abiPark sleeps until the scheduler is idle and returns the time until the next Go timer, or -1.
//
//go:linkname abiPark runtime.dynoPark
func abiPark() int64

func abiPoller() {
	var list []int32
	ready := make([]uint32, 64)
	for {
		ns := abiPark()
		list = list[:0]
		for _, w := range abiWaiters {
			list = append(list, w.handle)
		}
		waiters := abiWaiters[:len(list):len(list)]
		timer := int32(-1)
		if ns >= 0 {
			timer = abiTimer(ns)
			list = append(list, timer)
		}
		if len(list) == 0 {
			continue // an empty list traps
		}
		if len(ready) < len(list) {
			ready = make([]uint32, 2*len(list))
		}
		abiLanding = unsafe.Slice((*byte)(unsafe.Pointer(&ready[0])), 4*len(ready))
		abiPoll(unsafe.Pointer(&list[0]), uint32(len(list)), abiResult())
		abiLanding = nil
		at := abiRet.i32(0)
		for _, i := range unsafe.Slice((*uint32)(unsafe.Pointer(uintptr(at))), abiRet.i32(4)) {
			if int(i) < len(waiters) {
				select {
				case waiters[i].ready <- struct{}{}:
				default:
				}
			}
		}
		if timer >= 0 {
			abiDropPollable(timer)
		}
	}
}

// abiForget takes out every waiter that matches. It copies: the poller may hold the old slice.
func abiForget(match func(*abiWaiter) bool) {
	var left []*abiWaiter
	for _, w := range abiWaiters {
		if !match(w) {
			left = append(left, w)
		}
	}
	abiWaiters = left
	abiWaiting(len(left))
}

// abiWait sleeps until the pollable is ready, or until one of the channels (which may be nil) says stop.
//
//go:linkname abiWait
func abiWait(handle int32, expired, closed <-chan struct{}) error {
	abiStartPoller.Do(func() { go abiPoller() })
	w := &abiWaiter{handle, make(chan struct{}, 1)}
	abiWaiters = append(abiWaiters, w)
	abiWaiting(len(abiWaiters))
	defer abiForget(func(o *abiWaiter) bool { return o == w })
	select {
	case <-w.ready:
		return nil
	case <-expired:
		return os.ErrDeadlineExceeded
	case <-closed:
		return ErrClosed
	}
}

// === streams ===

const abiReadBytesMax = 1 << 20

// abiReadStream tries one read into p. It returns 0 and no error when nothing is there yet: wait for the stream's pollable.
//
//go:linkname abiReadStream
func abiReadStream(in int32, p []byte) (int, error) {
	abiHold()
	defer abiRelease()
	abiLanding = p
	abiRead(in, int64(min(len(p), abiReadBytesMax)), abiResult())
	abiLanding = nil
	r := abiRet
	if r.u8(0) != 0 {
		if r.u8(4) != 0 {
			return 0, io.EOF
		}
		abiDropError(r.i32(8))
		return 0, os.NewSyscallError("read", syscall.ECONNRESET)
	}
	n := int(uint32(r.i32(8)))
	if n == 0 {
		return 0, nil
	}
	if at := unsafe.Pointer(uintptr(r.i32(4))); at != unsafe.Pointer(&p[0]) {
		n = copy(p, unsafe.Slice((*byte)(at), n))
	}
	return n, nil
}

// abiWriteStream writes as much of p as the stream takes now. It returns 0 and no error when it takes nothing yet.
//
//go:linkname abiWriteStream
func abiWriteStream(out int32, p []byte) (int, error) {
	abiCheckWrite(out, abiResult())
	if abiRet.u8(0) != 0 {
		return 0, abiBroken(abiRet.u8(8), abiRet.i32(12))
	}
	n := min(uint64(len(p)), abiRet.u64(8))
	if n == 0 {
		return 0, nil
	}
	abiWrite(out, unsafe.Pointer(&p[0]), uint32(n), abiResult())
	if abiRet.u8(0) != 0 {
		return 0, abiBroken(abiRet.u8(4), abiRet.i32(8))
	}
	return int(n), nil
}

// abiFlushStream asks the host to pass on what was written. It does not wait: the next write does, if it must.
//
//go:linkname abiFlushStream
func abiFlushStream(out int32) error {
	abiFlush(out, abiResult())
	if abiRet.u8(0) != 0 {
		return abiBroken(abiRet.u8(4), abiRet.i32(8))
	}
	return nil
}

func abiBroken(kind byte, handle int32) error {
	if kind == 0 {
		abiDropError(handle)
		return os.NewSyscallError("write", syscall.ECONNRESET)
	}
	return os.NewSyscallError("write", syscall.EPIPE)
}
