// Package ttrpc is the part of containerd's TTRPC protocol that a shim needs: unary calls over unix
// sockets, served (Server) and made (Call). It speaks the protocol of github.com/containerd/ttrpc
// without the generated messages, see package pb for why.
//
// A frame is a header of ten bytes (length, stream, type, flags) and a message. A request is a
// message of type 1 with an odd stream ID, its response one of type 2 with the same ID; responses
// may come in any order.
package ttrpc
