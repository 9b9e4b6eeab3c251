// Answers wasi:http requests with the app's own http.Server. Joins package net/http as dyno_serve_wasip1.go.

//go:build wasip1

package http

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "unsafe" // for go:linkname

	"golang.org/x/net/http/httpguts"
)

// dynoBootTimeout is how long main may take to listen on $PORT: Heroku's boot time-out.
const dynoBootTimeout = 60 * time.Second

// dynoServing is one Server inside its Serve method.
type dynoServing struct {
	ctx      context.Context
	server   *Server
	listener net.Listener
}

var (
	dynoServers []*dynoServing
	dynoStarted bool
)

// dynoOffer is called by Server.Serve (patched) and returns what takes the server out again.
func dynoOffer(ctx context.Context, s *Server, l net.Listener) (withdraw func()) {
	offered := &dynoServing{ctx, s, l}
	dynoServers = append(dynoServers, offered)
	return func() {
		dynoServers = slices.DeleteFunc(dynoServers, func(o *dynoServing) bool { return o == offered })
	}
}

func dynoPort(addr net.Addr) string {
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return ""
	}
	return port
}

// dynoExit ends the process as a crash: the host restarts the dyno.
func dynoExit(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "error: "+format+"\n", args...)
	os.Exit(1)
}

// dynoTarget starts main at the first request and waits until something listens on $PORT: an http.Server, or else a
// listener of another kind, which is then spoken to over an in-process connection.
func dynoTarget(main func()) (*dynoServing, net.Addr) {
	port := os.Getenv("PORT")
	if !dynoStarted {
		dynoStarted = true
		if port == "" {
			port = "8080"
			os.Setenv("PORT", port)
		}
		go func() {
			main()
			dynoExit("main returned: a web process must keep listening on $PORT (%s)", port)
		}()
	}
	deadline := time.Now().Add(dynoBootTimeout)
	for {
		for _, s := range dynoServers {
			if dynoPort(s.listener.Addr()) == port {
				return s, nil
			}
		}
		var others []string
		for _, addr := range dynoListeners() {
			if dynoPort(addr) == port {
				return nil, addr
			}
			others = append(others, addr.String())
		}
		if time.Now().After(deadline) {
			where := ""
			if len(others) > 0 {
				where = "; it listens on " + strings.Join(others, ", ")
			}
			dynoExit("the process did not listen on $PORT (%s) within %s%s\n  hint: read the port from the environment: http.ListenAndServe(\":\"+os.Getenv(\"PORT\"), nil)",
				port, dynoBootTimeout, where)
		}
		time.Sleep(time.Millisecond)
	}
}

// dynoHandle answers one request. The export itself is a function of package main, added beside the app's files.
//
//go:linkname dynoHandle
func dynoHandle(request, out int32, main func()) {
	serving, raw := dynoTarget(main)
	conn := &dynoConn{outparam: out, hasOutparam: true}
	defer conn.abort() // only what was not finished
	req, body, err := dynoRequest(request)
	defer func() {
		body.drop()
		abiDropRequest(request)
	}()
	conn.remote = dynoRemote(req.Header)
	switch {
	case err != nil:
		conn.plain(StatusBadRequest)
	case serving != nil:
		conn.local = serving.listener.Addr()
		serving.serve(conn, req)
	default:
		conn.local = raw
		conn.forward(raw, req)
	}
}

// dynoRequest makes the server's Request from the wasi:http one. The body is there even when there is an error.
func dynoRequest(request int32) (*Request, *dynoBody, error) {
	req := &Request{
		Method:     abiRequestMethod(request),
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     abiRequestHeader(request),
		Body:       NoBody,
	}
	body := &dynoBody{request: request, remain: -1}
	req.RequestURI, _ = abiOptionalString(abiPath, request)
	if req.RequestURI == "" {
		req.RequestURI = "/"
	}
	host, ok := abiOptionalString(abiAuthority, request)
	if !ok {
		host = req.Header.Get("Host")
	}
	req.Host = host
	req.Header.Del("Host")
	if cookies := req.Header["Cookie"]; len(cookies) > 1 {
		req.Header["Cookie"] = []string{strings.Join(cookies, "; ")} // split by HTTP/2
	}
	if lengths := req.Header["Content-Length"]; len(lengths) > 0 {
		length, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil {
			return req, body, badRequestError("invalid Content-Length")
		}
		req.ContentLength = int64(length)
		body.remain = int64(length)
	} else if !dynoNoBody(req.Method) {
		req.ContentLength = -1 // was chunked, or HTTP/2
	}
	if req.ContentLength != 0 {
		req.Body = body
	}
	if !httpguts.ValidHostHeader(host) {
		return req, body, badRequestError("malformed Host header")
	}
	var err error
	req.URL, err = url.ParseRequestURI(req.RequestURI)
	return req, body, err
}

// dynoNoBody tells methods that have no body unless a length says otherwise: wasi:http does not say whether there is one.
func dynoNoBody(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "CONNECT":
		return true
	}
	return false
}

// dynoRemote is the client as our router saw it: it appends the address to X-Forwarded-For. The port is not known.
func dynoRemote(header Header) net.Addr {
	client := net.IPv4(127, 0, 0, 1)
	if all := header["X-Forwarded-For"]; len(all) > 0 {
		last := all[len(all)-1]
		last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		if ip := net.ParseIP(last); ip != nil {
			client = ip
		}
	}
	return &net.TCPAddr{IP: client}
}

// serve does for one request what conn.serve does for a connection, without the bytes of HTTP in between: the response's
// own code decides about lengths, types and bodies, and hands its header to dynoConn.start (patched chunkWriter).
func (s *dynoServing) serve(rwc *dynoConn, req *Request) {
	ctx := s.ctx
	if hook := s.server.ConnContext; hook != nil {
		if ctx = hook(ctx, rwc); ctx == nil {
			panic("ConnContext returned nil")
		}
	}
	c := s.server.newConn(rwc)
	c.remoteAddr = rwc.remote.String()
	c.setState(rwc, StateNew, runHooks)
	ctx, c.cancelCtx = context.WithCancel(context.WithValue(ctx, LocalAddrContextKey, rwc.local))
	c.r = &connReader{conn: c}
	c.bufw = newBufioWriterSize(checkConnErrorWriter{c}, 4<<10)
	req.RemoteAddr = c.remoteAddr
	w := &response{conn: c, req: req, reqBody: req.Body, handlerHeader: make(Header), contentLength: -1, fullDuplex: true}
	req.ctx, w.cancelCtx = context.WithCancel(ctx)
	w.cw.res = w
	w.w = newBufioWriterSize(&w.cw, bufferBeforeChunkingSize)
	c.setState(rwc, StateActive, runHooks)
	c.curReq.Store(w)
	defer func() {
		if err := recover(); err != nil && err != ErrAbortHandler {
			stack := make([]byte, 64<<10)
			stack = stack[:runtime.Stack(stack, false)]
			s.server.logf("http: panic serving %v: %v\n%s", c.remoteAddr, err, stack)
		}
		w.cancelCtx()
		c.cancelCtx()
		w.reqBody.Close()
		rwc.abort()
		c.finalFlush()
		c.setState(rwc, StateClosed, runHooks)
	}()
	serverHandler{s.server}.ServeHTTP(w, req)
	w.finishRequest()
	rwc.finish(w.finalTrailers())
}
