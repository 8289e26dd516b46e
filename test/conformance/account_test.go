package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery/types"
)

func describeAccountSettings(s *suite) {
	s.shows(success, "200 units, paid by compute units, on demand", func(t *testing.T) {
		out, err := s.query.DescribeAccountSettings(t.Context(), &timestreamquery.DescribeAccountSettingsInput{})
		ok(t, err)
		same(t, "settings", []any{*out.MaxQueryTCU, out.QueryPricingModel, out.QueryCompute.ComputeMode}, []any{int32(200), types.QueryPricingModelComputeUnits, types.ComputeModeOnDemand})
	})
}

func updateAccountSettings(s *suite) {
	s.shows(success, "another maximum of units, which a restart keeps", func(t *testing.T) {
		out, err := s.query.UpdateAccountSettings(t.Context(), &timestreamquery.UpdateAccountSettingsInput{MaxQueryTCU: aws.Int32(64)})
		ok(t, err)
		same(t, "units", *out.MaxQueryTCU, int32(64))
		s.Restart()
		described, err := s.query.DescribeAccountSettings(t.Context(), &timestreamquery.DescribeAccountSettingsInput{})
		ok(t, err)
		same(t, "units", *described.MaxQueryTCU, int32(64))
	})
	s.shows(success, "nothing, compute units, or on demand: the settings as they are", func(t *testing.T) {
		for _, in := range []*timestreamquery.UpdateAccountSettingsInput{{}, {QueryPricingModel: types.QueryPricingModelComputeUnits}, {QueryCompute: &types.QueryComputeRequest{ComputeMode: types.ComputeModeOnDemand}}} {
			out, err := s.query.UpdateAccountSettings(t.Context(), in)
			ok(t, err)
			same(t, "units", *out.MaxQueryTCU, int32(64))
		}
	})
	s.shows(idempotency, "the same again", func(t *testing.T) {
		for range 2 {
			out, err := s.query.UpdateAccountSettings(t.Context(), &timestreamquery.UpdateAccountSettingsInput{MaxQueryTCU: aws.Int32(1000)})
			ok(t, err)
			same(t, "units", *out.MaxQueryTCU, int32(1000))
		}
	})
	for _, n := range []string{"0", "3", "6", "1004"} {
		s.refuses("Validation", n+" units", `{"MaxQueryTCU":`+n+`}`, "MaxQueryTCU must be a multiple of 4 from 4 to 1000, not "+n+".")
	}
	s.refuses("Validation", "back to paying by bytes", `{"QueryPricingModel":"BYTES_SCANNED"}`, "The query pricing model can only be changed to COMPUTE_UNITS.")
	s.refuses("Validation", "an unknown pricing model", `{"QueryPricingModel":"FREE"}`, constraint("FREE", "queryPricingModel", "Member must satisfy enum value set: [BYTES_SCANNED, COMPUTE_UNITS]"))
	s.refuses("Validation", "provisioned compute without a capacity", `{"QueryCompute":{"ComputeMode":"PROVISIONED"}}`, "The compute mode PROVISIONED needs a ProvisionedCapacity.")
	s.refuses("Validation", "a capacity without provisioned compute", `{"QueryCompute":{"ProvisionedCapacity":{"TargetQueryTCU":16}}}`, "A ProvisionedCapacity can only be given with the compute mode PROVISIONED.")
	s.refuses("Validation", "a capacity for compute on demand", `{"QueryCompute":{"ComputeMode":"ON_DEMAND","ProvisionedCapacity":{"TargetQueryTCU":16}}}`, "A ProvisionedCapacity can only be given with the compute mode PROVISIONED.")
	s.refuses("Validation", "a capacity without a target", `{"QueryCompute":{"ProvisionedCapacity":{}}}`, missing("queryCompute.provisionedCapacity.targetQueryTCU"))
	s.refuses("Validation", "a capacity of 6 units", `{"QueryCompute":{"ComputeMode":"PROVISIONED","ProvisionedCapacity":{"TargetQueryTCU":6}}}`, "TargetQueryTCU must be a multiple of 4 from 4 to 1000, not 6.")
	s.refuses("Validation", "an unknown mode", `{"QueryCompute":{"ComputeMode":"SPOT"}}`, constraint("SPOT", "queryCompute.computeMode", "Member must satisfy enum value set: [ON_DEMAND, PROVISIONED]"))
	s.shows(success, "provisioned compute, which is active at once, and back to compute on demand", func(t *testing.T) {
		role, topic := aws.String("arn:aws:iam::000000000000:role/any"), aws.String("arn:aws:sns:us-east-1:000000000000:changes")
		notification := &types.AccountSettingsNotificationConfiguration{RoleArn: role, SnsConfiguration: &types.SnsConfiguration{TopicArn: topic}}
		_, err := s.query.UpdateAccountSettings(t.Context(), &timestreamquery.UpdateAccountSettingsInput{QueryCompute: &types.QueryComputeRequest{
			ComputeMode: types.ComputeModeProvisioned, ProvisionedCapacity: &types.ProvisionedCapacityRequest{TargetQueryTCU: aws.Int32(16), NotificationConfiguration: notification}}})
		ok(t, err)
		s.Restart()
		out, err := s.query.DescribeAccountSettings(t.Context(), &timestreamquery.DescribeAccountSettingsInput{})
		ok(t, err)
		p := out.QueryCompute.ProvisionedCapacity
		same(t, "compute", []any{out.QueryCompute.ComputeMode, *p.ActiveQueryTCU, *p.LastUpdate.TargetQueryTCU, p.LastUpdate.Status, p.NotificationConfiguration},
			[]any{types.ComputeModeProvisioned, int32(16), int32(16), types.LastUpdateStatusSucceeded, notification})
		back, err := s.query.UpdateAccountSettings(t.Context(), &timestreamquery.UpdateAccountSettingsInput{QueryCompute: &types.QueryComputeRequest{ComputeMode: types.ComputeModeOnDemand}})
		ok(t, err)
		same(t, "compute", []any{back.QueryCompute.ComputeMode, back.QueryCompute.ProvisionedCapacity}, []any{types.ComputeModeOnDemand, (*types.ProvisionedCapacityResponse)(nil)})
	})
	s.refuses(serialization, "units as a text", `{"MaxQueryTCU":"8"}`, "MaxQueryTCU must be an integer, not a string.")
}
