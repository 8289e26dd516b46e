// Package schedule is scheduled queries: when each is due, its run through query and its
// rows through a mapping into ingest, the history of its runs, and what is told of them: an
// error report object and a notification (Timestream guide, "Using scheduled queries";
// reference/api.md, section 15).
//
// # When
//
// Schedules live on the injected clock. While the clock is frozen, every invocation that it
// is moved over runs, in order, so a test that advances it by a day sees a day's work. While
// it runs by itself, an invocation that comes due during a run of the same query is
// replaced by later ones, so a query slower than its schedule does not lag ever further
// behind. After a start, the first invocation that was not done runs, which a crash may
// have interrupted; those that came due after it while no server ran are skipped.
// [Service.Execute] runs any invocation again.
//
// # Runs
//
// Runs of one query follow each other; different queries run side by side, up to
// [Options.Parallel]. Records carry the run's trigger time (ms) as their version, and
// trigger times of a query only grow, so a later run of the same invocation replaces what an
// earlier one wrote. What was asked for by Execute is on disk before it runs, and a scheduled
// run is due on disk until it is done and noted there, the runs of [Options.SaveAfter] together: after
// a crash they run again, with the same outcome.
//
// A run ends in one of three ways. All rows are stored: success. Some rows cannot be
// mapped or stored, or the store refuses work for now even when asked again: a failure, with a
// report of what is missing. The query or its target is wrong (what AWS answers with a 4xx):
// a failure without a report, after which the query is disabled.
//
// # Late data
//
// A query with the tag [LateDataTag] runs an invocation again after rows came into the window
// that it reads: [Watch] compares every write with the windows of the invocations so far, and the
// invocations that missed rows are on disk, in their query's document, before the write is
// acknowledged. They run after the next scheduled one, oldest first. The windows are those of the plan: the
// range of time that it scans of each table, for that @scheduled_runtime. Not watched are
// tables that it reads without such a range, and the one that it writes to.
//
// # Documents
//
// Each query is one JSON document in [Documents] under its ARN's last part, name and
// suffix, with its state, last run, last five failures and unfinished runs.
//
// A Service is safe for concurrent use.
package schedule
