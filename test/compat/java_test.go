//go:build e2ejava

package compat

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestJavaSDKs runs the Maven project in java, whose only AWS settings are AWS_ENDPOINT_URL,
// keys and a region.
func TestJavaSDKs(t *testing.T) {
	s := start(t, t.TempDir())
	cmd := exec.CommandContext(t.Context(), "mvn", "-B", "-q", "test", "-DbuildDirectory="+t.TempDir())
	cmd.Dir = "java"
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "AWS_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "AWS_ENDPOINT_URL="+s.url, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=any", "AWS_SECRET_ACCESS_KEY=any", "AWS_EC2_METADATA_DISABLED=true")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
