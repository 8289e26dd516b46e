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
	s.refuses("Validation", "provisioned compute", `{"QueryCompute":{"ComputeMode":"PROVISIONED","ProvisionedCapacity":{"TargetQueryTCU":16}}}`, "Provisioned query compute is not available.")
	s.refuses("Validation", "provisioned compute without a target", `{"QueryCompute":{"ProvisionedCapacity":{}}}`, missing("queryCompute.provisionedCapacity.targetQueryTCU"))
	s.refuses(serialization, "units as a text", `{"MaxQueryTCU":"8"}`, "MaxQueryTCU must be an integer, not a string.")
}
