package iam

import "sync"

// awsPolicies is how the names of AWS's own managed policies begin.
const awsPolicies = "arn:aws:iam::aws:policy/"

// awsManaged are those of AWS's managed policies that are about what is served here, by what
// follows awsPolicies in their ARN, reduced to it. Any other can be attached too, and allows nothing.
var awsManaged = map[string]string{
	"AdministratorAccess": allow(`"*"`),
	"PowerUserAccess":     `{"Statement":{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"Resource":"*"}}`,
	"ReadOnlyAccess": allow(`"timestream:Describe*","timestream:List*","timestream:Select*","timestream:PrepareQuery","timestream:CancelQuery","s3:Get*","s3:List*","iot:Get*","iot:List*","iot:Describe*",` +
		`"cloudwatch:Get*","cloudwatch:List*","iam:Get*","iam:List*","sns:Get*","sns:List*","sqs:Get*","sqs:List*","sqs:ReceiveMessage"`),

	"AmazonTimestreamFullAccess":        allow(`"timestream:*","s3:ListAllMyBuckets","iam:ListRoles"`),
	"AmazonTimestreamConsoleFullAccess": allow(`"timestream:*","s3:ListAllMyBuckets","iam:ListRoles","sns:ListTopics"`),
	"AmazonTimestreamReadOnlyAccess": allow(`"timestream:CancelQuery","timestream:DescribeDatabase","timestream:DescribeEndpoints","timestream:DescribeTable","timestream:ListDatabases","timestream:ListMeasures",` +
		`"timestream:ListTables","timestream:ListTagsForResource","timestream:Select","timestream:SelectValues","timestream:DescribeScheduledQuery","timestream:ListScheduledQueries","timestream:DescribeBatchLoadTask",` +
		`"timestream:ListBatchLoadTasks","timestream:DescribeAccountSettings","timestream:PrepareQuery"`),

	"AmazonS3FullAccess":         allow(`"s3:*"`),
	"AmazonS3ReadOnlyAccess":     allow(`"s3:Get*","s3:List*","s3:Describe*"`),
	"AWSIoTFullAccess":           allow(`"iot:*"`),
	"AWSIoTDataAccess":           allow(`"iot:Connect","iot:Publish","iot:Subscribe","iot:Receive","iot:RetainPublish","iot:GetRetainedMessage","iot:ListRetainedMessages"`),
	"AWSIoTConfigAccess":         allow(`"iot:*TopicRule*","iot:TagResource","iot:UntagResource","iot:ListTagsForResource","iot:DescribeEndpoint"`),
	"AWSIoTConfigReadOnlyAccess": allow(`"iot:GetTopicRule","iot:ListTopicRules","iot:ListTagsForResource","iot:DescribeEndpoint"`),
	"CloudWatchFullAccess":       allow(`"cloudwatch:*"`),
	"CloudWatchFullAccessV2":     allow(`"cloudwatch:*"`),
	"CloudWatchReadOnlyAccess":   allow(`"cloudwatch:Get*","cloudwatch:List*","cloudwatch:Describe*"`),
	"AmazonSNSFullAccess":        allow(`"sns:*"`),
	"AmazonSNSReadOnlyAccess":    allow(`"sns:Get*","sns:List*"`),
	"AmazonSQSFullAccess":        allow(`"sqs:*"`),
	"AmazonSQSReadOnlyAccess":    allow(`"sqs:Get*","sqs:List*"`),
	"IAMFullAccess":              allow(`"iam:*"`),
	"IAMReadOnlyAccess":          allow(`"iam:Get*","iam:List*"`),
}

func allow(actions string) string {
	return `{"Statement":{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}}`
}

// documents keeps policies as they were read, by their text. Safe for concurrent use.
type documents struct {
	mu     sync.RWMutex
	byText map[string]*Document
}

// maxDocuments bounds what is kept: more than fit an account's busy principals.
const maxDocuments = 4096

// refusing stands for a stored text that cannot be read any more: it must not open what it may
// have closed.
var refusing = &Document{Statements: []Statement{{Effect: "Deny", Action: []string{"*"}, Resource: []string{"*"}, Principal: []byte(`"*"`)}}}

func (d *documents) of(text string) *Document {
	d.mu.RLock()
	doc := d.byText[text]
	d.mu.RUnlock()
	if doc != nil {
		return doc
	}
	doc, err := ParsePolicy(text, IdentityBased)
	if err != nil {
		if doc, err = ParsePolicy(text, Trust); err != nil {
			doc = refusing
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byText == nil || len(d.byText) >= maxDocuments {
		d.byText = map[string]*Document{}
	}
	d.byText[text] = doc
	return doc
}
