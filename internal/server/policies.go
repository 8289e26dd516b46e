package server

import (
	"context"
	"net"
	"strconv"
	"strings"

	"github.com/weir-db/weir/internal/arn"
	"github.com/weir-db/weir/internal/awsapi"
	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/iam"
	"github.com/weir-db/weir/internal/mqtt"
	"github.com/weir-db/weir/internal/registry"
	"github.com/weir-db/weir/internal/schedule"
	"github.com/weir-db/weir/internal/sql/plan"
)

// The services that act as roles.
const (
	timestreamService = "timestream.amazonaws.com"
	iotService        = "iot.amazonaws.com"
)

// policies asks IAM on behalf of all parts. A nil *policies, where requests are not verified, allows
// everything: whoever calls then is the account's root, or says to be somebody else.
type policies struct {
	directory       *iam.Directory
	region, account string
}

func askPolicies(signed bool, principals *iam.Directory, o Options) *policies {
	if !signed {
		return nil
	}
	return &policies{principals, o.Region, o.AccountID}
}

func (p *policies) ask(r iam.Request) error {
	if p == nil {
		return nil
	}
	return p.directory.Allow(r)
}

// api returns what the AWS door asks.
func (p *policies) api(tags func(string) map[string]string) awsapi.Authorizer {
	if p == nil {
		return nil
	}
	return &awsapi.Policies{Directory: p.directory, Region: p.region, AccountID: p.account, ResourceTags: tags}
}

// tagsOf returns the tags of databases, tables and scheduled queries.
func tagsOf(cat *catalog.Catalog, scheduled *schedule.Service) func(string) map[string]string {
	return func(resource string) map[string]string {
		list := cat.Tags
		if schedule.Is(resource) {
			list = scheduled.Tags
		}
		tags, err := list(resource)
		if err != nil {
			return nil
		}
		all := make(map[string]string, len(tags))
		for _, t := range tags {
			all[t.Key] = t.Value
		}
		return all
	}
}

// tables says whether a caller may do action to tables, or to what belongs to none.
func (p *policies) tables(ctx context.Context, caller, action string, tables []plan.TableRef) error {
	if p == nil {
		return nil
	}
	if who, err := arn.Parse(caller); err == nil && strings.HasPrefix(who.Resource, "role/") && action == "PrepareQuery" {
		action = "Select" // a scheduled query is analysed as what it will do
	}
	r := iam.Request{Principal: caller, Action: "timestream:" + action, Resource: "*", Context: iam.ContextOf(ctx)}
	if len(tables) == 0 {
		return p.directory.Allow(r)
	}
	for _, t := range tables {
		if r.Resource = arn.Database(p.region, p.account, t.Database); t.Table != "" {
			r.Resource = arn.Table(p.region, p.account, t.Database, t.Table)
		}
		if err := p.directory.Allow(r); err != nil {
			return err
		}
	}
	return nil
}

// object says whether a caller may do action to objects, by ARN.
func (p *policies) object(ctx context.Context, caller, action, resource string) error {
	return p.ask(iam.Request{Principal: caller, Action: action, Resource: resource, Context: iam.ContextOf(ctx)})
}

// objects is the same for the S3 door.
func (p *policies) objects(ctx context.Context, caller wire.Caller, action, resource string) error {
	return p.object(ctx, caller.ARN, action, resource)
}

// devices returns what says whether an MQTT client may do action to a resource of IoT, such
// as topic/T: the policies of its certificate, always, or those of its access key's user.
func (p *policies) devices(known *registry.Registry, region, account string) func(by mqtt.Peer, action, resource string) bool {
	return func(by mqtt.Peer, action, resource string) bool {
		name := arn.New("iot", region, account, resource).String()
		if registry.IsCertificateID(by.Principal) {
			return known.Allow(by.Principal, by.ClientID, action, name, deviceKeys(&by, region))
		}
		return p.ask(iam.Request{Principal: by.Principal, Action: action, Resource: name, Context: deviceKeys(&by, region)}) == nil
	}
}

// deviceKeys returns the condition keys of an MQTT client.
func deviceKeys(by *mqtt.Peer, region string) func(key string) []string {
	return func(key string) []string {
		switch key {
		case "aws:sourceip":
			if host, _, err := net.SplitHostPort(by.Remote.String()); err == nil {
				return []string{host}
			}
		case "aws:securetransport":
			return []string{strconv.FormatBool(by.TLS)}
		case "aws:requestedregion":
			return []string{region}
		case "iot:clientid":
			return []string{by.ClientID}
		}
		return nil
	}
}

// rule says whether a role may be assumed for a topic rule and do action to a resource.
func (p *policies) rule(roleARN, action, resource string) error {
	if p == nil {
		return nil
	}
	if err := p.directory.ServiceMayAssume(roleARN, iotService); err != nil {
		return err
	}
	return p.asRole(roleARN, action, resource)
}

// asRole says whether a role may do action to a resource.
func (p *policies) asRole(roleARN, action, resource string) error {
	return p.ask(iam.Request{Principal: roleARN, Action: action, Resource: resource})
}

// scheduledRole returns whom the scheduled queries of a role run as.
func (p *policies) scheduledRole(_ context.Context, roleARN string) (string, error) {
	if p == nil {
		return roleARN, nil
	}
	return roleARN, p.directory.ServiceMayAssume(roleARN, timestreamService)
}
