// The calls of wasi:http 0.2 that net/http needs. Joins package net/http as dyno_abi_wasip1.go.

//go:build wasip1

package http

import (
	"errors"
	"net"
	"unsafe"
)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-request.method
func abiMethod(request int32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-request.path-with-query
func abiPath(request int32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-request.authority
func abiAuthority(request int32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-request.headers
func abiHeaders(request int32) int32

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-request.consume
func abiConsume(request int32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [method]incoming-body.stream
func abiBodyStream(body int32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [method]fields.entries
func abiEntries(fields int32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [static]fields.from-list
func abiFromList(list unsafe.Pointer, n uint32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]fields
func abiDropFields(fields int32)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-request
func abiDropRequest(request int32)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]incoming-body
func abiDropIncomingBody(body int32)

//go:wasmimport wasi:http/types@0.2.12 [constructor]outgoing-response
func abiNewResponse(fields int32) int32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-response.set-status-code
func abiSetStatus(response, code int32) int32

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-response.body
func abiResponseBody(response int32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [static]response-outparam.set
func abiSetOutparam(out, isError, value, a int32, b int64, c, d, e, f int32)

//go:wasmimport wasi:http/types@0.2.12 [method]outgoing-body.write
func abiBodyWrite(body int32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [static]outgoing-body.finish
func abiBodyFinish(body, hasTrailers, trailers int32, ret unsafe.Pointer)

//go:wasmimport wasi:http/types@0.2.12 [resource-drop]outgoing-body
func abiDropOutgoingBody(body int32)

//go:wasmimport wasi:io/streams@0.2.12 [method]input-stream.subscribe
func abiSubscribeIn(stream int32) int32

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]input-stream
func abiDropIn(stream int32)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.subscribe
func abiSubscribeOut(stream int32) int32

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]output-stream
func abiDropOut(stream int32)

//go:wasmimport wasi:io/poll@0.2.12 [resource-drop]pollable
func abiDropPollable(pollable int32)

// Package net's overlay answers the host's requests for memory and owns the poller.
//
//go:linkname abiHold net.abiHold
func abiHold()

//go:linkname abiRelease net.abiRelease
func abiRelease()

//go:linkname abiWait net.abiWait
func abiWait(pollable int32, expired, closed <-chan struct{}) error

//go:linkname abiReadStream net.abiReadStream
func abiReadStream(in int32, p []byte) (int, error)

//go:linkname abiWriteStream net.abiWriteStream
func abiWriteStream(out int32, p []byte) (int, error)

//go:linkname abiFlushStream net.abiFlushStream
func abiFlushStream(out int32) error

//go:linkname dynoListeners net.dynoListeners
func dynoListeners() []net.Addr

// abiConnectionTerminated is a case of wasi:http/types.error-code.
const abiConnectionTerminated = 7

// abiArea receives the result of one host call; see the same in package net.
type abiArea [6]uint64

var abiRet abiArea

func (a *abiArea) u8(at uintptr) byte   { return *(*byte)(unsafe.Add(unsafe.Pointer(a), at)) }
func (a *abiArea) i32(at uintptr) int32 { return *(*int32)(unsafe.Add(unsafe.Pointer(a), at)) }

func abiResult() unsafe.Pointer { return unsafe.Pointer(&abiRet) }

func abiString(at, n uint32) string {
	if n == 0 {
		return ""
	}
	return string(unsafe.Slice((*byte)(unsafe.Pointer(uintptr(at))), n))
}

// abiOptionalString calls a getter of option<string>.
func abiOptionalString(get func(int32, unsafe.Pointer), handle int32) (string, bool) {
	abiHold()
	defer abiRelease()
	get(handle, abiResult())
	r := abiRet
	if r.u8(0) == 0 {
		return "", false
	}
	return abiString(uint32(r.i32(4)), uint32(r.i32(8))), true
}

// abiRequestMethod reads the variant whose last case carries its own name.
func abiRequestMethod(request int32) string {
	abiHold()
	defer abiRelease()
	abiMethod(request, abiResult())
	r := abiRet
	named := [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
	if at := int(r.u8(0)); at < len(named) {
		return named[at]
	}
	return abiString(uint32(r.i32(4)), uint32(r.i32(8)))
}

// abiRequestHeader reads the request's fields, in order, under canonical names.
func abiRequestHeader(request int32) Header {
	abiHold()
	defer abiRelease()
	fields := abiHeaders(request)
	abiEntries(fields, abiResult())
	r := abiRet
	n := uint32(r.i32(4))
	header := make(Header, n)
	if n > 0 {
		for _, e := range unsafe.Slice((*[4]uint32)(unsafe.Pointer(uintptr(r.i32(0)))), n) {
			header.Add(abiString(e[0], e[1]), abiString(e[2], e[3]))
		}
	}
	abiDropFields(fields)
	return header
}

var errHeaderRefused = errors.New("http: the host refused the header fields")

// abiFields makes a fields resource of name, value, name, value…
func abiFields(pairs []string) (int32, error) {
	text := make([]byte, 0, 1024)
	for _, s := range pairs {
		text = append(text, s...)
	}
	text = append(text, 0) // so that &text[0] exists
	list := make([]uint32, 0, 2*len(pairs)+2)
	at := uint32(uintptr(unsafe.Pointer(&text[0])))
	for _, s := range pairs {
		list = append(list, at, uint32(len(s)))
		at += uint32(len(s))
	}
	list = append(list, 0)
	keepBytes = text
	abiFromList(unsafe.Pointer(&list[0]), uint32(len(pairs)/2), abiResult())
	keepBytes = nil
	if abiRet.u8(0) != 0 {
		return 0, errHeaderRefused
	}
	return abiRet.i32(4), nil
}

// keepBytes keeps the text reachable while the host reads it through plain numbers.
var keepBytes []byte
