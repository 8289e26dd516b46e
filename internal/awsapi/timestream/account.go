package timestream

import (
	"context"

	"github.com/weir-db/weir/internal/awsapi/wire"
	"github.com/weir-db/weir/internal/catalog"
	"github.com/weir-db/weir/internal/fault"
)

type accountIn struct {
	MaxQueryTCU       *int64
	QueryPricingModel *string `check:"enum=BYTES_SCANNED,COMPUTE_UNITS"`
	QueryCompute      *computeIn
}

type computeIn struct {
	ComputeMode         *string `check:"enum=ON_DEMAND,PROVISIONED"`
	ProvisionedCapacity *capacityIn
}

type capacityIn struct {
	TargetQueryTCU            *int64 `check:"required"`
	NotificationConfiguration *accountNotification
}

// accountNotification serves as input and, in the same form, as output.
type accountNotification struct {
	SnsConfiguration *snsConfiguration
	RoleArn          *string `check:"required len=1..2048"`
}

type accountOut struct {
	MaxQueryTCU       int64
	QueryPricingModel string
	QueryCompute      computeOut
}

type computeOut struct {
	ComputeMode         string
	ProvisionedCapacity *capacityOut
}

type capacityOut struct {
	ActiveQueryTCU            int64
	NotificationConfiguration *accountNotification
	LastUpdate                lastUpdate
}

type lastUpdate struct {
	TargetQueryTCU int64
	Status         string
}

func (s *service) accountShape() *accountOut {
	a := s.Catalog.Account()
	out := &accountOut{MaxQueryTCU: a.MaxQueryTCU, QueryPricingModel: "COMPUTE_UNITS", QueryCompute: computeOut{ComputeMode: "ON_DEMAND"}}
	if p := a.Provisioned; p != nil {
		capacity := &capacityOut{ActiveQueryTCU: p.TCU, LastUpdate: lastUpdate{p.TCU, "SUCCEEDED"}}
		if p.RoleARN != "" {
			capacity.NotificationConfiguration = &accountNotification{RoleArn: &p.RoleARN}
			if p.TopicARN != "" {
				capacity.NotificationConfiguration.SnsConfiguration = &snsConfiguration{&p.TopicARN}
			}
		}
		out.QueryCompute = computeOut{"PROVISIONED", capacity}
	}
	return out
}

func (s *service) describeAccountSettings(context.Context, *wire.Call, *struct{}) (any, error) {
	return s.accountShape(), nil
}

func (s *service) updateAccountSettings(ctx context.Context, _ *wire.Call, in *accountIn) (any, error) {
	if in.QueryPricingModel != nil && *in.QueryPricingModel != "COMPUTE_UNITS" {
		return nil, fault.New(fault.Invalid, "The query pricing model can only be changed to COMPUTE_UNITS.")
	}
	account := s.Catalog.Account()
	if in.MaxQueryTCU != nil {
		account.MaxQueryTCU = *in.MaxQueryTCU
	}
	if err := in.QueryCompute.change(&account); err != nil {
		return nil, err
	}
	if in.MaxQueryTCU != nil || in.QueryCompute != nil {
		if err := s.Catalog.UpdateAccount(ctx, account); err != nil {
			return nil, err
		}
	}
	return s.accountShape(), nil
}

// change makes the change that was asked for to a.
func (q *computeIn) change(a *catalog.Account) error {
	if q == nil {
		return nil
	}
	mode, capacity := value(q.ComputeMode), q.ProvisionedCapacity
	if mode == "" && a.Provisioned != nil {
		mode = "PROVISIONED"
	}
	switch {
	case mode == "PROVISIONED" && capacity == nil && a.Provisioned == nil:
		return fault.New(fault.Invalid, "The compute mode PROVISIONED needs a ProvisionedCapacity.")
	case mode != "PROVISIONED" && capacity != nil:
		return fault.New(fault.Invalid, "A ProvisionedCapacity can only be given with the compute mode PROVISIONED.")
	case mode == "ON_DEMAND":
		a.Provisioned = nil
	}
	if capacity == nil {
		return nil
	}
	a.Provisioned = &catalog.ProvisionedCompute{TCU: *capacity.TargetQueryTCU}
	if n := capacity.NotificationConfiguration; n != nil {
		a.Provisioned.RoleARN = *n.RoleArn
		if n.SnsConfiguration != nil {
			a.Provisioned.TopicARN = *n.SnsConfiguration.TopicArn
		}
	}
	return nil
}
