#!/bin/sh
# The main job with the AWS CLI. Usage: cli.sh AWS-COMMAND DATABASE [--endpoint-url URL]
# Without the last two the environment variable AWS_ENDPOINT_URL decides.
set -eu
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
aws=$1 db=$2
shift 2
run() { "$aws" --region us-east-1 "$@"; }
# call SERVICE OPERATION ARGS...: with the endpoint option that this script was given.
endpoint=$*
call() { # shellcheck disable=SC2086 # the option and its value are two words
	run $endpoint "$@"
}
check() {
	if [ "$2" != "$3" ]; then
		printf '%s:\n  got  %s\n  want %s\n' "$1" "$2" "$3" >&2
		exit 1
	fi
	echo "ok   $1"
}
call timestream-write create-database --database-name "$db" --tags Key=Environment,Value=production >/dev/null
call timestream-write create-table --database-name "$db" --table-name readings \
	--retention-properties '{"MemoryStoreRetentionPeriodInHours":24,"MagneticStoreRetentionPeriodInDays":365}' \
	--magnetic-store-write-properties '{"EnableMagneticStoreWrites":true}' --tags Key=DataType,Value=readings >/dev/null
check "describe-table" "$(call timestream-write describe-table --database-name "$db" --table-name readings \
	--query 'Table.[TableStatus,RetentionProperties.MemoryStoreRetentionPeriodInHours]' --output text | tr '\t' ' ')" "ACTIVE 24"
now=$(date +%s)
call timestream-write write-records --database-name "$db" --table-name readings \
	--common-attributes "{\"Dimensions\":[{\"Name\":\"device_id\",\"Value\":\"a\"}],\"Time\":\"$now\",\"TimeUnit\":\"SECONDS\",\"MeasureName\":\"m\"}" \
	--records '[{"MeasureValueType":"MULTI","MeasureValues":[{"Name":"temperature","Value":"21.5","Type":"DOUBLE"},{"Name":"count","Value":"3","Type":"BIGINT"}]}]' >/dev/null
check "query" "$(call timestream-query query --query-string "SELECT device_id, temperature, count FROM \"$db\".readings WHERE time > ago(1h)" \
	--query 'Rows[].Data[].ScalarValue' --output text | tr '\t' ' ')" "a 21.5 3"
check "query in pages" "$(call timestream-query query --query-string "SELECT x FROM UNNEST(sequence(1, 5)) AS t(x) ORDER BY x" --page-size 2 \
	--query 'Rows[].Data[].ScalarValue' --output text | tr '\t\n' '  ' | sed 's/ *$//')" "1 2 3 4 5"
if call timestream-query query --query-string 'SELECT FROM' 2>"$errors"; then
	echo "bad SQL was accepted" >&2
	exit 1
fi
check "bad SQL" "$(grep -c 'ValidationException.*The query syntax is invalid at line 1:8' "$errors")" 1
role=$(echo "$db" | tr -- - _)_role
call iam create-role --role-name "$role" --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}' >/dev/null
call iam put-role-policy --role-name "$role" --policy-name write --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["timestream:WriteRecords","timestream:DescribeEndpoints"],"Resource":"*"}]}'
call iot create-topic-rule --rule-name "$role" --topic-rule-payload "{\"sql\":\"SELECT temperature FROM 'sensors/+/data'\",\"actions\":[{\"timestream\":{\"roleArn\":\"arn:aws:iam::123456789012:role/IoT\",\"databaseName\":\"$db\",\"tableName\":\"readings\",\"dimensions\":[{\"name\":\"device_id\",\"value\":\"\${device_id}\"}]}}]}"
check "get-topic-rule" "$(call iot get-topic-rule --rule-name "$role" --query rule.ruleDisabled --output text)" False
call iot disable-topic-rule --rule-name "$role"
check "list-topic-rules" "$(call iot list-topic-rules --query "rules[?ruleName=='$role'].ruleDisabled" --output text)" True
call iot delete-topic-rule --rule-name "$role"
check "metrics" "$(call cloudwatch get-metric-statistics --namespace AWS/Timestream --metric-name SuccessfulRequestCount \
	--dimensions Name=DatabaseName,Value="$db" Name=TableName,Value=readings Name=Operation,Value=WriteRecords \
	--start-time "$(date -u -d '1 hour ago' +%Y-%m-%dT%H:%M:%S)" --end-time "$(date -u -d '1 minute' +%Y-%m-%dT%H:%M:%S)" \
	--period 3600 --statistics Sum --query 'sum(Datapoints[].Sum)' --output text)" 1.0
check "get-caller-identity" "$(call sts get-caller-identity --query Account --output text)" 000000000000
call timestream-write delete-table --database-name "$db" --table-name readings
call timestream-write delete-database --database-name "$db"
echo "passed with $("$aws" --version 2>&1 | cut -d' ' -f1)"
