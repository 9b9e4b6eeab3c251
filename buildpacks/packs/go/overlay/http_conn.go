// One wasi:http exchange in the shape of a connection and a body. Joins package net/http as dyno_conn_wasip1.go.

//go:build wasip1

package http

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
	_ "unsafe" // for go:linkname

	"golang.org/x/net/http/httpguts"
)

// === request body ===

// dynoBody reads the incoming body. It is opened at the first read, so that requests without one cost nothing.
type dynoBody struct {
	request int32

	mu     sync.Mutex
	opened bool
	closed bool
	err    error // sticky
	remain int64 // bytes still due, or -1
	body   int32
	stream int32
	ready  int32 // pollable, or 0: made when first needed
}

func (b *dynoBody) open() error {
	abiConsume(b.request, abiResult())
	if abiRet.u8(0) != 0 {
		return errors.New("http: the request body is gone")
	}
	b.body = abiRet.i32(4)
	abiBodyStream(b.body, abiResult())
	if abiRet.u8(0) != 0 {
		abiDropIncomingBody(b.body)
		return errors.New("http: the request body is gone")
	}
	b.stream = abiRet.i32(4)
	b.opened = true
	return nil
}

func (b *dynoBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, ErrBodyReadAfterClose
	}
	if b.err == nil && !b.opened {
		b.err = b.open()
	}
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	for {
		n, err := abiReadStream(b.stream, p)
		if b.remain >= 0 {
			b.remain -= min(int64(n), b.remain)
		}
		switch {
		case err == io.EOF && b.remain <= 0:
			b.err = io.EOF
		case err != nil:
			b.err = io.ErrUnexpectedEOF // the client went away
		case n > 0 && b.remain == 0:
			b.err = io.EOF
		}
		if n > 0 || b.err != nil {
			return n, b.err
		}
		if b.ready == 0 {
			b.ready = abiSubscribeIn(b.stream)
		}
		if err := abiWait(b.ready, nil, nil); err != nil {
			return 0, err
		}
	}
}

// Close ends reading, as the handler or the server does. The handles stay until drop.
func (b *dynoBody) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return nil
}

// drop gives the handles back, children first.
func (b *dynoBody) drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if !b.opened {
		return
	}
	b.opened = false
	if b.ready != 0 {
		abiDropPollable(b.ready)
	}
	abiDropIn(b.stream)
	abiDropIncomingBody(b.body)
}

// === response ===

// dynoConn stands for the connection of one exchange. What the server writes to it after start is the body.
type dynoConn struct {
	remote, local net.Addr

	mu          sync.Mutex
	outparam    int32
	hasOutparam bool
	hasBody     bool
	body        int32
	stream      int32
	ready       int32 // pollable, or 0
	err         error // sticky
}

// Fields that belong to the connection; wasi:http refuses most of them.
var dynoConnectionFields = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Transfer-Encoding": true,
	"Upgrade": true, "Te": true, "Trailer": true, "Host": true, "Http2-Settings": true,
}

// dynoPairs flattens a header the way Header.Write does: sorted names, line breaks made spaces, invalid fields left out.
func dynoPairs(header Header, exclude map[string]bool) []string {
	names := make([]string, 0, len(header))
	for name := range header {
		if !exclude[name] && !dynoConnectionFields[name] && httpguts.ValidHeaderFieldName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	pairs := make([]string, 0, 2*len(names)+8)
	for _, name := range names {
		for _, value := range header[name] {
			value = headerNewlineToSpace.Replace(value)
			if httpguts.ValidHeaderFieldValue(value) {
				pairs = append(pairs, name, value)
			}
		}
	}
	return pairs
}

// start sends the status and the header. extra holds more names and values; without body there is none, whatever the
// Content-Length says (HEAD, 204, 304).
func (c *dynoConn) start(code int, header Header, exclude map[string]bool, extra []string, body bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || !c.hasOutparam {
		return c.fail(syscall.EPIPE)
	}
	fields, err := abiFields(append(dynoPairs(header, exclude), extra...))
	if err != nil {
		return c.fail(err)
	}
	response := abiNewResponse(fields)
	if abiSetStatus(response, int32(code)) != 0 {
		// A status the host does not know cannot be sent; the peer sees a broken answer.
		return c.fail(errors.New("http: the host refused the status code"))
	}
	if body {
		abiResponseBody(response, abiResult())
		if abiRet.u8(0) != 0 {
			return c.fail(syscall.EPIPE)
		}
		c.body, c.hasBody = abiRet.i32(4), true
		abiBodyWrite(c.body, abiResult())
		if abiRet.u8(0) != 0 {
			return c.fail(syscall.EPIPE)
		}
		c.stream = abiRet.i32(4)
	}
	c.hasOutparam = false
	abiSetOutparam(c.outparam, 0, response, 0, 0, 0, 0, 0, 0)
	return nil
}

// startResponse is called by the patched chunkWriter in place of writing the header to the wire.
func (c *dynoConn) startResponse(w *response, code int, header Header, exclude map[string]bool, set *extraHeader) {
	extra := make([]string, 0, 6)
	if set.date != nil {
		extra = append(extra, "Date", string(set.date))
	}
	if set.contentLength != nil {
		extra = append(extra, "Content-Length", string(set.contentLength))
	}
	if set.contentType != "" {
		extra = append(extra, "Content-Type", set.contentType)
	}
	if err := c.start(code, header, exclude, extra, w.req.Method != "HEAD" && bodyAllowedForStatus(code)); err != nil {
		w.conn.server.logf("http: response to %s not sent: %v", w.conn.remoteAddr, err)
	}
}

func (c *dynoConn) fail(err error) error {
	if c.err == nil {
		c.err = os.NewSyscallError("write", err)
	}
	return c.err
}

func (c *dynoConn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for n < len(p) {
		if c.err != nil {
			return n, c.err
		}
		if !c.hasBody {
			return n, c.fail(syscall.EPIPE)
		}
		m, err := abiWriteStream(c.stream, p[n:])
		if err != nil {
			return n, c.fail(err)
		}
		n += m
		if m == 0 {
			if c.ready == 0 {
				c.ready = abiSubscribeOut(c.stream)
			}
			if err := abiWait(c.ready, nil, nil); err != nil {
				return n, c.fail(err)
			}
		}
	}
	if err := abiFlushStream(c.stream); err != nil {
		return n, c.fail(err)
	}
	return n, nil
}

func (c *dynoConn) dropStream() {
	if c.ready != 0 {
		abiDropPollable(c.ready)
		c.ready = 0
	}
	if c.stream != 0 {
		abiDropOut(c.stream)
		c.stream = 0
	}
}

// finish ends the body in order. The host checks it against Content-Length.
func (c *dynoConn) finish(trailers Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hasBody || c.err != nil {
		return
	}
	c.dropStream()
	c.hasBody = false
	hasTrailers, fields := int32(0), int32(0)
	if len(trailers) > 0 {
		if made, err := abiFields(dynoPairs(trailers, nil)); err == nil {
			hasTrailers, fields = 1, made
		}
	}
	abiBodyFinish(c.body, hasTrailers, fields, abiResult())
}

// abort breaks off what was neither finished nor, if nothing was sent, begun: as closing a connection does. It is a no-op
// after finish.
func (c *dynoConn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hasBody {
		c.dropStream()
		c.hasBody = false
		abiDropOutgoingBody(c.body)
	}
	if c.hasOutparam {
		c.hasOutparam = false
		abiSetOutparam(c.outparam, 1, abiConnectionTerminated, 0, 0, 0, 0, 0, 0)
	}
	if c.err == nil {
		c.err = net.ErrClosed
	}
}

// plain answers with a status and its text, as conn.serve does for requests it cannot read.
func (c *dynoConn) plain(code int) {
	text := strconv.Itoa(code) + " " + StatusText(code)
	if c.start(code, Header{"Content-Type": {"text/plain; charset=utf-8"}}, nil, nil, true) == nil {
		c.Write([]byte(text))
		c.finish(nil)
	}
}

func (c *dynoConn) Read([]byte) (int, error)         { return 0, io.EOF }
func (c *dynoConn) Close() error                     { c.abort(); return nil }
func (c *dynoConn) LocalAddr() net.Addr              { return c.local }
func (c *dynoConn) RemoteAddr() net.Addr             { return c.remote }
func (c *dynoConn) SetDeadline(time.Time) error      { return nil } // the router has the time-outs
func (c *dynoConn) SetReadDeadline(time.Time) error  { return nil }
func (c *dynoConn) SetWriteDeadline(time.Time) error { return nil }

// === servers that are not net/http's ===

//go:linkname dynoDialListener net.dynoDialListener
func dynoDialListener(ctx context.Context, addr net.Addr) (net.Conn, error)

// forward speaks HTTP/1.1 to a listener in this process: fasthttp and other servers of their own.
func (c *dynoConn) forward(addr net.Addr, req *Request) {
	ctx, cancel := context.WithTimeout(context.Background(), dynoBootTimeout)
	defer cancel()
	inner, err := dynoDialListener(ctx, addr)
	if err != nil {
		return // broken off by the caller
	}
	defer inner.Close()
	out := &Request{Method: req.Method, URL: req.URL, Host: req.Host, Header: req.Header.Clone(), Close: true,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: req.ContentLength}
	if req.ContentLength != 0 {
		out.Body = req.Body
	}
	go out.Write(inner)
	from := bufio.NewReader(inner)
	answer, err := ReadResponse(from, out)
	for err == nil && answer.StatusCode < 200 && answer.StatusCode != StatusSwitchingProtocols {
		answer, err = ReadResponse(from, out) // informational answers cannot be passed on
	}
	if err != nil {
		return
	}
	defer answer.Body.Close()
	if c.start(answer.StatusCode, answer.Header, nil, nil, req.Method != "HEAD" && bodyAllowedForStatus(answer.StatusCode)) != nil {
		return
	}
	if _, err := io.Copy(c, answer.Body); err != nil {
		return
	}
	c.finish(answer.Trailer)
}
