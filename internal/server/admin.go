package server

import (
	"net/http"
	"strings"

	"github.com/weir-db/weir/internal/fault"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/sigv4"
)

// AdminService is the name that requests to /admin are signed for.
const AdminService = "weir"

// rootOnly lets only the account's root keys pass, where requests are verified, whatever policies
// say.
type rootOnly struct {
	keys     *iam.Directory
	verifier sigv4.Verifier
}

// check refuses r, with that body, unless it is signed with the root's keys for AdminService. what
// ends the sentence "… may not".
func (a *rootOnly) check(r *http.Request, body []byte, what string) error {
	s, err := sigv4.Parse(r)
	if err != nil {
		return err
	}
	if s.Service != AdminService {
		return fault.New(fault.Denied, "The request is signed for the service %q, want %q.", s.Service, AdminService)
	}
	caller, err := a.keys.Credential(s.AccessKeyID, s.Token)
	if err != nil {
		return err
	}
	if err := a.verifier.Verify(r, body, s, caller.Secret); err != nil {
		return err
	}
	if !strings.HasSuffix(caller.ARN, ":root") {
		return fault.New(fault.Denied, "%s may not %s: only the account's root keys may.", caller.ARN, what)
	}
	return nil
}
