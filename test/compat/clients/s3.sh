#!/bin/sh
# The AWS CLI's s3 commands: s3.sh AWS BUCKET [OPTION…], with a file large enough to go up in parts.
set -eu
aws=$1 bucket=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export AWS_DEFAULT_REGION=us-east-1
s3() { "$aws" s3 "$@" $options; }
options=$*
dd if=/dev/urandom of="$work/big" bs=1048576 count=20 2>/dev/null
echo hello >"$work/small file.txt"

s3 mb "s3://$bucket"
s3 ls | grep " $bucket\$"
s3 cp "$work/small file.txt" "s3://$bucket/dir/small file.txt" --only-show-errors
s3 cp "$work/big" "s3://$bucket/dir/big" --only-show-errors
s3 ls "s3://$bucket/dir/" | grep " 20971520 big\$"
s3 cp "s3://$bucket/dir/big" "s3://$bucket/copy/big" --only-show-errors
mkdir "$work/down"
s3 sync "s3://$bucket" "$work/down" --only-show-errors
cmp "$work/big" "$work/down/dir/big"
cmp "$work/big" "$work/down/copy/big"
cmp "$work/small file.txt" "$work/down/dir/small file.txt"
"$aws" s3api head-object --bucket "$bucket" --key "dir/small file.txt" $options | grep '"ContentLength": 6'
"$aws" s3api get-object --bucket "$bucket" --key dir/big --range bytes=5-9 $options "$work/range" >/dev/null
test "$(wc -c <"$work/range")" = 5
"$aws" s3api list-objects-v2 --bucket "$bucket" --max-items 1 $options | grep NextToken
"$aws" s3api get-bucket-location --bucket "$bucket" $options >/dev/null
"$aws" s3api get-bucket-acl --bucket "$bucket" $options | grep FULL_CONTROL >/dev/null
if s3 rb "s3://$bucket" 2>/dev/null; then
	echo "a bucket with objects was removed"
	exit 1
fi
s3 rm "s3://$bucket" --recursive --only-show-errors
s3 rb "s3://$bucket"
