package streaming

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/klog/v2"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	utilexec "k8s.io/utils/exec"
)

// v5Streams are the channels of a "v5.channel.k8s.io" WebSocket: v4 with a message that
// closes one channel, so that a client can end stdin and still read (KEP-4006).
type v5Streams struct {
	stdin          io.Reader
	stdout, stderr io.WriteCloser
	resize         <-chan remotecommand.TerminalSize
}

// serveV5 upgrades the connection, runs a session on it and sends its outcome.
func (s *Server) serveV5(w http.ResponseWriter, r *http.Request, opts *remotecommand.Options, run func(*v5Streams) error) {
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{
		remotecommand.StreamProtocolV5Name: {Binary: true, Channels: v5Channels(opts)},
	})
	conn.SetIdleTimeout(s.cfg.IdleTimeout)
	_, channels, err := conn.Open(w, r)
	if err != nil {
		klog.FromContext(r.Context()).V(4).Info("Could not upgrade to a WebSocket", "client", r.RemoteAddr, "err", err)
		return
	}
	defer conn.Close()
	streams := &v5Streams{
		stdin:  channels[remotecommand.StreamStdIn],
		stdout: channels[remotecommand.StreamStdOut],
		stderr: channels[remotecommand.StreamStdErr],
	}
	if opts.TTY {
		sizes := make(chan remotecommand.TerminalSize)
		go readSizes(r.Context(), channels[remotecommand.StreamResize], sizes)
		streams.resize = sizes
	}
	msg, err := json.Marshal(outcome(run(streams)))
	if err == nil {
		_, err = channels[remotecommand.StreamErr].Write(msg)
	}
	if err != nil {
		klog.FromContext(r.Context()).V(3).Info("Could not send the outcome of a streaming session", "client", r.RemoteAddr, "err", err)
	}
}

func v5Channels(opts *remotecommand.Options) []wsstream.ChannelType {
	channels := make([]wsstream.ChannelType, remotecommand.StreamResize+1)
	for i, c := range map[int]struct {
		wanted bool
		kind   wsstream.ChannelType
	}{
		remotecommand.StreamStdIn:  {opts.Stdin, wsstream.ReadChannel},
		remotecommand.StreamStdOut: {opts.Stdout, wsstream.WriteChannel},
		remotecommand.StreamStdErr: {opts.Stderr, wsstream.WriteChannel},
		remotecommand.StreamErr:    {true, wsstream.WriteChannel},
		remotecommand.StreamResize: {true, wsstream.ReadChannel},
	} {
		channels[i] = wsstream.IgnoreChannel
		if c.wanted {
			channels[i] = c.kind
		}
	}
	return channels
}

// readSizes passes the client's terminal sizes on until the session ends.
func readSizes(ctx context.Context, r io.Reader, out chan<- remotecommand.TerminalSize) {
	defer close(out)
	dec := json.NewDecoder(r)
	for {
		var size remotecommand.TerminalSize
		if err := dec.Decode(&size); err != nil {
			return
		}
		select {
		case out <- size:
		case <-ctx.Done():
			return
		}
	}
}

// apiStatus is the part of the API's Status object that clients look at.
type apiStatus struct {
	Metadata struct{}       `json:"metadata"`
	Status   string         `json:"status"`
	Message  string         `json:"message,omitempty"`
	Reason   string         `json:"reason,omitempty"`
	Details  *statusDetails `json:"details,omitempty"`
	Code     int            `json:"code,omitempty"`
}

type statusDetails struct {
	Causes []statusCause `json:"causes,omitempty"`
}

type statusCause struct {
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// outcome says how a session ended, in the same words as the library does for v4.
func outcome(err error) apiStatus {
	var exit utilexec.ExitError
	switch {
	case err == nil:
		return apiStatus{Status: "Success"}
	case errors.As(err, &exit) && exit.Exited():
		return apiStatus{
			Status:  "Failure",
			Message: fmt.Sprintf("command terminated with non-zero exit code: %v", exit),
			Reason:  remotecommand.NonZeroExitCodeReason,
			Details: &statusDetails{Causes: []statusCause{{
				Reason: remotecommand.ExitCodeCauseType, Message: strconv.Itoa(exit.ExitStatus()),
			}}},
		}
	default:
		return apiStatus{
			Status: "Failure", Message: err.Error(), Reason: "InternalError", Code: http.StatusInternalServerError,
			Details: &statusDetails{Causes: []statusCause{{Message: err.Error()}}},
		}
	}
}
