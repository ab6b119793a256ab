package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// Client talks to a kubelet's API.
type Client struct {
	address string
	http    *http.Client
	tls     *tls.Config
}

func newClient(port int) *Client {
	config := &tls.Config{InsecureSkipVerify: true} // the kubelet signs its own certificate
	return &Client{
		address: fmt.Sprintf("127.0.0.1:%d", port), tls: config,
		http: &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 30 * time.Second},
	}
}

// Get returns the body of an answer with status 200.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.address+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", path, resp.Status, body)
	}
	return body, nil
}

func (c *Client) getJSON(ctx context.Context, path string, into any) error {
	body, err := c.Get(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

// Logs returns what a container has logged; a query such as "previous=true" may
// follow.
func (c *Client) Logs(ctx context.Context, pod, container, query string) (string, error) {
	body, err := c.Get(ctx, fmt.Sprintf("/containerLogs/default/%s-%s/%s?%s", pod, nodeName, container, query))
	return string(body), err
}

// Exec runs a command in a container through the kubelet's streaming API, over
// WebSocket, with input, and returns its output and how it ended.
func (c *Client) Exec(ctx context.Context, pod, container, input string, command ...string) (stdout string, status ExecStatus, err error) {
	query := url.Values{"command": command, "output": {"1"}, "error": {"1"}}
	if input != "" {
		query.Set("input", "1")
	}
	address := fmt.Sprintf("wss://%s/exec/default/%s-%s/%s?%s", c.address, pod, nodeName, container, query.Encode())
	dialer := websocket.Dialer{TLSClientConfig: c.tls, Subprotocols: []string{"v5.channel.k8s.io"}}
	conn, resp, err := dialer.DialContext(ctx, address, nil)
	if err != nil {
		return "", status, fmt.Errorf("exec in %s/%s: %w (%s)", pod, container, err, statusOf(resp))
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if input != "" {
		// Channel 0 is stdin; 255 closes the channel named by the byte after it.
		for _, message := range [][]byte{append([]byte{0}, input...), {255, 0}} {
			if err := conn.WriteMessage(websocket.BinaryMessage, message); err != nil {
				return "", status, fmt.Errorf("exec in %s/%s: sending input: %w", pod, container, err)
			}
		}
	}
	var out strings.Builder
	for {
		_, message, err := conn.ReadMessage()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			return out.String(), status, nil
		}
		if err != nil {
			return out.String(), status, fmt.Errorf("exec in %s/%s: %w", pod, container, err)
		}
		switch {
		case len(message) < 2:
		case message[0] == 1:
			out.Write(message[1:])
		case message[0] == 3:
			if err := json.Unmarshal(message[1:], &status); err != nil {
				return out.String(), status, fmt.Errorf("exec in %s/%s: status %q: %w", pod, container, message[1:], err)
			}
		}
	}
}

// ExecStatus is how an exec ended: a metav1.Status.
type ExecStatus struct {
	Status, Message, Reason string
	Details                 struct {
		Causes []struct{ Reason, Message string }
	}
}

// ExitCode is the command's exit code as text; "0" for success.
func (s ExecStatus) ExitCode() string {
	if s.Status == "Success" {
		return "0"
	}
	for _, cause := range s.Details.Causes {
		if cause.Reason == "ExitCode" {
			return cause.Message
		}
	}
	return "none: " + s.Message
}

func statusOf(resp *http.Response) string {
	if resp == nil {
		return "no answer"
	}
	body, _ := io.ReadAll(resp.Body)
	return resp.Status + " " + string(body)
}
