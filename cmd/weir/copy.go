package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/timestreamquery"
	"github.com/aws/aws-sdk-go-v2/service/timestreamwrite"

	"github.com/weir-db/weir/internal/exporter"
)

// amazon as --from-endpoint is Amazon's Timestream in the region.
const amazon = "aws"

// copy copies a table, or all of a database, from another endpoint.
func (f *importFlags) copy(ctx context.Context) error {
	write, err := f.openRemote(ctx)
	if err != nil {
		return err
	}
	if f.from.From, err = parseMoment(f.since); err != nil {
		return usagef("--since: %v", err)
	}
	if f.from.Until, err = parseMoment(f.until); err != nil {
		return usagef("--until: %v", err)
	}
	f.from.Database, f.from.Table = f.o.Database, f.o.Table
	if f.fromTable != "" {
		var ok bool
		if f.from.Database, f.from.Table, ok = strings.Cut(f.fromTable, "."); !ok {
			return usagef("--from-table: want database.table, got %q", f.fromTable)
		}
	}
	if f.o.Table != "*" {
		return f.copyTable(ctx, write)
	}
	var failed error
	tables := timestreamwrite.NewListTablesPaginator(write, &timestreamwrite.ListTablesInput{DatabaseName: aws.String(f.from.Database)})
	for tables.HasMorePages() {
		page, err := tables.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list the tables of %s at %s: %w", f.from.Database, f.from.Endpoint, plain(err))
		}
		for _, t := range page.Tables {
			f.from.Table, f.o.Table = aws.ToString(t.TableName), aws.ToString(t.TableName)
			f.table = f.o.Database + "." + f.o.Table
			if err := f.copyTable(ctx, write); err != nil {
				if ctx.Err() != nil {
					return err
				}
				failed = errors.Join(failed, fmt.Errorf("%s: %w", f.table, err))
			}
		}
	}
	return failed
}

func (f *importFlags) copyTable(ctx context.Context, source *timestreamwrite.Client) error {
	remote := f.from
	f.o.Remote = &remote
	if !f.dryRun {
		was, err := exporter.Describe(ctx, source, remote.Database, remote.Table)
		if err != nil {
			return fmt.Errorf("describe %s: %w", &remote, plain(err))
		}
		client := writeClient(f.endpoint, f.region, f.o.Connections, f.attempts)
		f.o.Writer = client
		if err := f.prepareTable(ctx, client, was, os.Stderr); err != nil {
			return err
		}
	}
	return f.run(ctx)
}

// openRemote makes the clients of the endpoint to copy from. They ask it by DescribeEndpoints where the
// service is, as Amazon's wants it.
func (f *importFlags) openRemote(ctx context.Context) (*timestreamwrite.Client, error) {
	read := timestreamquery.Options{Region: f.fromRegion, Credentials: keys(), Retryer: patient(f.attempts)}
	write := timestreamwrite.Options{Region: f.fromRegion, Credentials: keys(), Retryer: patient(f.attempts)}
	read.EndpointDiscovery.EnableEndpointDiscovery, write.EndpointDiscovery.EnableEndpointDiscovery = aws.EndpointDiscoveryEnabled, aws.EndpointDiscoveryEnabled
	if f.from.Endpoint != amazon {
		read.BaseEndpoint, write.BaseEndpoint = aws.String(f.from.Endpoint), aws.String(f.from.Endpoint)
	} else {
		// Of the settings in the environment only who calls: an endpoint that stands there is where the copy goes.
		cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion(f.fromRegion))
		if err != nil {
			return nil, fmt.Errorf("keys for Amazon's Timestream: %w", err)
		}
		read.Credentials, write.Credentials = cfg.Credentials, cfg.Credentials
	}
	f.from.Query = timestreamquery.New(read)
	return timestreamwrite.New(write), nil
}

// patient tries for longer than the SDK does by default, as copies have time.
func patient(attempts int) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff, o.RateLimiter = attempts, maxBackoff, ratelimit.None
	})
}
