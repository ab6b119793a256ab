package streaming

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Exec answers CRI's Exec with a URL. Errors are gRPC statuses (InvalidArgument,
// ResourceExhausted with too many unused URLs). Whether the container exists and runs is
// the caller's to check before.
func (s *Server) Exec(req *runtimeapi.ExecRequest) (*runtimeapi.ExecResponse, error) {
	if err := checkStreams(req.GetContainerId(), req.GetTty(), req.GetStdin(), req.GetStdout(), req.GetStderr()); err != nil {
		return nil, err
	}
	if len(req.GetCmd()) == 0 {
		return nil, status.Errorf(codes.InvalidArgument, "exec in container %s: no command given", req.GetContainerId())
	}
	u, err := s.url("exec", req)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ExecResponse{Url: u}, nil
}

// Attach answers CRI's Attach with a URL; errors as for Exec.
func (s *Server) Attach(req *runtimeapi.AttachRequest) (*runtimeapi.AttachResponse, error) {
	if err := checkStreams(req.GetContainerId(), req.GetTty(), req.GetStdin(), req.GetStdout(), req.GetStderr()); err != nil {
		return nil, err
	}
	u, err := s.url("attach", req)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.AttachResponse{Url: u}, nil
}

// PortForward answers CRI's PortForward with a URL; errors as for Exec. Ports in the
// request are needed by the older WebSocket protocol only, SPDY names them per stream.
func (s *Server) PortForward(req *runtimeapi.PortForwardRequest) (*runtimeapi.PortForwardResponse, error) {
	if req.GetPodSandboxId() == "" {
		return nil, status.Error(codes.InvalidArgument, "port-forward: pod_sandbox_id is missing")
	}
	for _, p := range req.GetPort() {
		if p < 1 || p > 65535 {
			return nil, status.Errorf(codes.InvalidArgument, "port-forward to pod %s: port %d is not between 1 and 65535", req.GetPodSandboxId(), p)
		}
	}
	u, err := s.url("portforward", req)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PortForwardResponse{Url: u}, nil
}

// checkStreams holds what CRI says of the streams of Exec and Attach.
func checkStreams(id string, tty, stdin, stdout, stderr bool) error {
	switch {
	case id == "":
		return status.Error(codes.InvalidArgument, "streaming: container_id is missing")
	case tty && stderr:
		return status.Errorf(codes.InvalidArgument, "streaming to container %s: a terminal has no stderr of its own, set tty or stderr", id)
	case !stdin && !stdout && !stderr:
		return status.Errorf(codes.InvalidArgument, "streaming to container %s: one of stdin, stdout and stderr must be set", id)
	}
	return nil
}

func (s *Server) url(kind string, req any) (string, error) {
	token, err := s.tokens.add(req)
	if err != nil {
		return "", err
	}
	return s.base.JoinPath(kind, token).String(), nil
}
