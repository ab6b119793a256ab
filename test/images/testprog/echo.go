package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
)

// serveEcho sends back what it gets, over TCP and UDP.
func serveEcho(args []string) error {
	flags := flag.NewFlagSet("netecho", flag.ExitOnError)
	tcp := flags.String("tcp", ":7", "TCP address to listen on")
	udp := flags.String("udp", ":7", "UDP address to listen on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *tcp)
	if err != nil {
		return err
	}
	packets, err := net.ListenPacket("udp", *udp)
	if err != nil {
		return err
	}
	fmt.Println("netecho: listening on", listener.Addr(), packets.LocalAddr())
	go echoPackets(packets)
	go func() {
		<-ended()
		listener.Close()
	}()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

func echoPackets(conn net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(buf[:n], from)
	}
}
