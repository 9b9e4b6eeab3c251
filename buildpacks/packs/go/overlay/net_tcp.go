// Outbound TCP connections and name lookup over wasi:sockets 0.2. Joins package net as dyno_tcp_wasip1.go.

//go:build wasip1

package net

import (
	"context"
	"io"
	"os"
	"sync"
	"syscall"
	"unsafe"
)

//go:wasmimport wasi:io/streams@0.2.12 [method]input-stream.subscribe
func abiSubscribeIn(h int32) int32

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]input-stream
func abiDropIn(h int32)

//go:wasmimport wasi:io/streams@0.2.12 [method]output-stream.subscribe
func abiSubscribeOut(h int32) int32

//go:wasmimport wasi:io/streams@0.2.12 [resource-drop]output-stream
func abiDropOut(h int32)

//go:wasmimport wasi:sockets/instance-network@0.2.12 instance-network
func abiInstanceNetwork() int32

//go:wasmimport wasi:sockets/tcp-create-socket@0.2.12 create-tcp-socket
func abiCreateTCP(family int32, ret unsafe.Pointer)

//go:wasmimport wasi:sockets/tcp@0.2.12 [method]tcp-socket.start-connect
func abiStartConnect(h, net, kind, a, b, c, d, e, f, g, i, j, k, l int32, ret unsafe.Pointer)

//go:wasmimport wasi:sockets/tcp@0.2.12 [method]tcp-socket.finish-connect
func abiFinishConnect(h int32, ret unsafe.Pointer)

//go:wasmimport wasi:sockets/tcp@0.2.12 [method]tcp-socket.local-address
func abiLocalAddress(h int32, ret unsafe.Pointer)

//go:wasmimport wasi:sockets/tcp@0.2.12 [method]tcp-socket.subscribe
func abiSubscribeTCP(h int32) int32

//go:wasmimport wasi:sockets/tcp@0.2.12 [method]tcp-socket.shutdown
func abiShutdown(h, how int32, ret unsafe.Pointer)

//go:wasmimport wasi:sockets/tcp@0.2.12 [resource-drop]tcp-socket
func abiDropTCP(h int32)

//go:wasmimport wasi:sockets/ip-name-lookup@0.2.12 resolve-addresses
func abiResolve(net int32, p unsafe.Pointer, n uint32, ret unsafe.Pointer)

//go:wasmimport wasi:sockets/ip-name-lookup@0.2.12 [method]resolve-address-stream.resolve-next-address
func abiResolveNext(h int32, ret unsafe.Pointer)

//go:wasmimport wasi:sockets/ip-name-lookup@0.2.12 [method]resolve-address-stream.subscribe
func abiSubscribeResolve(h int32) int32

//go:wasmimport wasi:sockets/ip-name-lookup@0.2.12 [resource-drop]resolve-address-stream
func abiDropResolve(h int32)

// The network handle is taken at first use, so that a program without sockets needs no network permission.
var wasiNetwork = sync.OnceValue(abiInstanceNetwork)

const wasiWouldBlock = 8

// wasiErrno translates wasi:sockets/network.error-code, in the order of its cases.
func wasiErrno(code byte) syscall.Errno {
	errnos := [...]syscall.Errno{
		syscall.EIO, syscall.EACCES, syscall.ENOTSUP, syscall.EINVAL, syscall.ENOMEM, syscall.ETIMEDOUT, syscall.EALREADY,
		syscall.EINVAL, syscall.EAGAIN, syscall.EINVAL, syscall.EMFILE, syscall.EADDRNOTAVAIL, syscall.EADDRINUSE,
		syscall.EHOSTUNREACH, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EMSGSIZE,
	}
	if int(code) < len(errnos) {
		return errnos[code]
	}
	return syscall.EIO
}

func wasiIPv6(r *abiArea, at uintptr) IP {
	ip := make(IP, 16)
	for i := range uintptr(8) {
		part := r.u16(at + 2*i)
		ip[2*i], ip[2*i+1] = byte(part>>8), byte(part)
	}
	return ip
}

// wasiConn is a connection that leaves the process: a fakeNetFD with one diverts its reads and writes here.
type wasiConn struct {
	ffd                 *fakeNetFD
	tcp, in, out        int32
	inReady, outReady   int32 // pollables
	readMu, writeMu     sync.Mutex
	closed              chan struct{}
	closeOnce           sync.Once
	readDone, writeDone bool
}

// wasiConnect takes over where the in-process network has no listener for the address.
func wasiConnect(ctx context.Context, fd *netFD) error {
	remote, ok := fd.raddr.(*TCPAddr)
	if !ok {
		return syscall.ECONNREFUSED
	}
	var a [12]int32 // ip-socket-address, flattened
	a[1] = int32(remote.Port)
	if ip4 := remote.IP.To4(); ip4 != nil {
		for i, b := range ip4 {
			a[2+i] = int32(b)
		}
	} else {
		a[0] = 1
		for i := range 8 {
			a[3+i] = int32(remote.IP[2*i])<<8 | int32(remote.IP[2*i+1])
		}
	}
	network := wasiNetwork()
	abiCreateTCP(a[0], abiResult())
	if abiRet.u8(0) != 0 {
		return wasiErrno(abiRet.u8(4))
	}
	tcp := abiRet.i32(4)
	abiStartConnect(tcp, network, a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], abiResult())
	if abiRet.u8(0) != 0 {
		code := abiRet.u8(1)
		abiDropTCP(tcp)
		return wasiErrno(code)
	}
	in, out, err := wasiAwaitConnect(ctx, tcp)
	if err != nil {
		abiDropTCP(tcp)
		return err
	}
	c := &wasiConn{ffd: fd.fakeNetFD, tcp: tcp, in: in, out: out, closed: make(chan struct{})}
	c.inReady, c.outReady = abiSubscribeIn(in), abiSubscribeOut(out)
	abiLocalAddress(tcp, abiResult())
	if r := abiRet; r.u8(0) == 0 {
		local := &TCPAddr{Port: int(r.u16(8))}
		if r.u8(4) == 0 {
			local.IP = append(IP(nil), r.bytes(10, 4)...)
		} else {
			local.IP = wasiIPv6(&r, 16)
		}
		fd.laddr = local
	}
	fd.isConnected = true
	fd.fakeNetFD.wasi = c
	return nil
}

func wasiAwaitConnect(ctx context.Context, tcp int32) (in, out int32, err error) {
	pollable := abiSubscribeTCP(tcp)
	defer abiDropPollable(pollable) // before its socket
	for {
		abiFinishConnect(tcp, abiResult())
		if abiRet.u8(0) == 0 {
			return abiRet.i32(4), abiRet.i32(8), nil
		}
		if code := abiRet.u8(4); code != wasiWouldBlock {
			return 0, 0, wasiErrno(code)
		}
		if err := abiWait(pollable, ctx.Done(), nil); err != nil {
			if ctx.Err() == context.Canceled {
				return 0, 0, errCanceled
			}
			return 0, 0, os.ErrDeadlineExceeded
		}
	}
}

func (c *wasiConn) stopped(expired <-chan struct{}) error {
	select {
	case <-c.closed:
		return ErrClosed
	case <-expired:
		return os.ErrDeadlineExceeded
	default:
		return nil
	}
}

func (c *wasiConn) Read(p []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	for {
		expired := c.ffd.readDeadline.Load().expired
		if err := c.stopped(expired); err != nil {
			return 0, err
		}
		if len(p) == 0 {
			return 0, nil
		}
		if c.readDone {
			return 0, io.EOF
		}
		n, err := abiReadStream(c.in, p)
		if err != nil {
			c.readDone = true
			return 0, err
		}
		if n > 0 {
			return n, nil
		}
		if err := abiWait(c.inReady, expired, c.closed); err != nil {
			return 0, err
		}
	}
}

func (c *wasiConn) Write(p []byte) (n int, err error) {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	for n < len(p) {
		expired := c.ffd.writeDeadline.Load().expired
		if err := c.stopped(expired); err != nil {
			return n, err
		}
		if c.writeDone {
			return n, os.NewSyscallError("write", syscall.EPIPE)
		}
		m, err := abiWriteStream(c.out, p[n:])
		if err != nil {
			c.writeDone = true
			return n, err
		}
		n += m
		if m == 0 {
			if err := abiWait(c.outReady, expired, c.closed); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (c *wasiConn) shutdown(how int32) error {
	if c.stopped(nil) != nil {
		return ErrClosed
	}
	abiShutdown(c.tcp, how, abiResult())
	if abiRet.u8(0) != 0 {
		return os.NewSyscallError("shutdown", wasiErrno(abiRet.u8(1)))
	}
	return nil
}

func (c *wasiConn) Close() error {
	c.closeOnce.Do(func() {
		close(c.closed)
		// The poller must not see dropped handles.
		abiForget(func(w *abiWaiter) bool { return w.handle == c.inReady || w.handle == c.outReady })
		abiDropPollable(c.inReady)
		abiDropPollable(c.outReady)
		abiDropIn(c.in)
		abiDropOut(c.out)
		abiDropTCP(c.tcp)
	})
	return nil
}

// wasiLookup asks the host for the addresses of a name.
func wasiLookup(ctx context.Context, network, host string) ([]IPAddr, error) {
	name := []byte(host)
	if len(name) == 0 {
		return nil, newDNSError(errNoSuchHost, host, "")
	}
	from := wasiNetwork()
	abiResolve(from, unsafe.Pointer(&name[0]), uint32(len(name)), abiResult())
	if abiRet.u8(0) != 0 {
		return nil, newDNSError(errNoSuchHost, host, "")
	}
	stream := abiRet.i32(4)
	pollable := abiSubscribeResolve(stream)
	defer func() { abiDropPollable(pollable); abiDropResolve(stream) }()
	var list []IPAddr
	for {
		abiResolveNext(stream, abiResult())
		r := abiRet
		if r.u8(0) != 0 {
			if r.u8(2) != wasiWouldBlock {
				break
			}
			if err := abiWait(pollable, ctx.Done(), nil); err != nil {
				return nil, newDNSError(mapErr(ctx.Err()), host, "")
			}
			continue
		}
		if r.u8(2) == 0 {
			break // the end of the list
		}
		switch {
		case r.u8(4) == 0 && network != "ip6":
			list = append(list, IPAddr{IP: append(IP(nil), r.bytes(6, 4)...)})
		case r.u8(4) != 0 && network != "ip4":
			list = append(list, IPAddr{IP: wasiIPv6(&r, 6)})
		}
	}
	if len(list) == 0 {
		return nil, newDNSError(errNoSuchHost, host, "")
	}
	return list, nil
}

// === the web process ===

// dynoListeners returns the addresses of the in-process TCP listeners.
//
//go:linkname dynoListeners
func dynoListeners() []Addr {
	var list []Addr
	sockets.Range(func(_, value any) bool {
		if fd, ok := value.(*netFD); ok && fd.incoming != nil {
			if addr, ok := fd.laddr.(*TCPAddr); ok {
				list = append(list, addr)
			}
		}
		return true
	})
	return list
}

// dynoDialListener connects to the in-process listener at exactly this address, be it a wildcard.
//
//go:linkname dynoDialListener
func dynoDialListener(ctx context.Context, addr Addr) (Conn, error) {
	to := addr.(*TCPAddr)
	fd, err := socket(ctx, "tcp", to.family(), syscall.SOCK_STREAM, 0, false, nil, to, nil)
	if err != nil {
		return nil, err
	}
	return &TCPConn{conn{fd}}, nil
}
