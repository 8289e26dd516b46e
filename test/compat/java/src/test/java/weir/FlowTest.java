package weir;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.auth.AWSStaticCredentialsProvider;
import com.amazonaws.auth.BasicAWSCredentials;
import com.amazonaws.client.builder.AwsClientBuilder.EndpointConfiguration;
import com.amazonaws.services.timestreamquery.AmazonTimestreamQuery;
import com.amazonaws.services.timestreamquery.AmazonTimestreamQueryClientBuilder;
import com.amazonaws.services.timestreamquery.model.CancelQueryRequest;
import com.amazonaws.services.timestreamquery.model.ConflictException;
import com.amazonaws.services.timestreamquery.model.QueryRequest;
import com.amazonaws.services.timestreamquery.model.QueryResult;
import com.amazonaws.services.timestreamquery.model.Row;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.timestreamwrite.TimestreamWriteClient;
import software.amazon.awssdk.services.timestreamwrite.TimestreamWriteClientBuilder;
import software.amazon.awssdk.services.timestreamwrite.model.Dimension;
import software.amazon.awssdk.services.timestreamwrite.model.MeasureValue;
import software.amazon.awssdk.services.timestreamwrite.model.MeasureValueType;
import software.amazon.awssdk.services.timestreamwrite.model.Record;
import software.amazon.awssdk.services.timestreamwrite.model.RejectedRecordsException;
import software.amazon.awssdk.services.timestreamwrite.model.ResourceNotFoundException;
import software.amazon.awssdk.services.timestreamwrite.model.ValidationException;

/** Writes with the SDK for Java v2 and reads with v1, at the server that AWS_ENDPOINT_URL names. */
class FlowTest {
    private static final String ENDPOINT = System.getenv("AWS_ENDPOINT_URL");
    private static final long NOW = System.currentTimeMillis();

    private final AmazonTimestreamQuery query = AmazonTimestreamQueryClientBuilder.standard()
            .withEndpointConfiguration(new EndpointConfiguration(ENDPOINT, "us-east-1"))
            .withCredentials(new AWSStaticCredentialsProvider(new BasicAWSCredentials("any", "any")))
            .build();

    private static TimestreamWriteClientBuilder builder() {
        return TimestreamWriteClient.builder().region(Region.US_EAST_1).httpClientBuilder(UrlConnectionHttpClient.builder());
    }

    @Test
    void endpointOverride() {
        try (TimestreamWriteClient write = builder().endpointOverride(URI.create(ENDPOINT)).build()) {
            flow(write, "java_argument");
        }
    }

    @Test
    void environmentAlone() {
        try (TimestreamWriteClient write = builder().build()) {
            flow(write, "java_environment");
        }
    }

    private void flow(TimestreamWriteClient write, String database) {
        write.createDatabase(b -> b.databaseName(database));
        var table = write.createTable(b -> b.databaseName(database).tableName("readings")
                .retentionProperties(r -> r.memoryStoreRetentionPeriodInHours(24L).magneticStoreRetentionPeriodInDays(30L))).table();
        assertEquals("MEASURE", table.schema().compositePartitionKey().get(0).typeAsString());
        List<Record> records = IntStream.range(0, 100).mapToObj(i -> record(i, i / 4.0, 1)).collect(Collectors.toList());
        assertEquals(100, write.writeRecords(b -> b.databaseName(database).tableName("readings").records(records)).recordsIngested().total());

        write.writeRecords(b -> b.databaseName(database).tableName("readings").records(record(0, 50, 7)));
        var rejected = assertThrows(RejectedRecordsException.class, () -> write.writeRecords(b -> b.databaseName(database).tableName("readings")
                .records(record(1, 0.25, 1), record(0, 51, 6), record(2, 99, 1)))).rejectedRecords();
        assertEquals(List.of(1, 2), rejected.stream().map(r -> r.recordIndex()).collect(Collectors.toList()));
        assertEquals(7L, rejected.get(0).existingVersion());
        var tooMany = assertThrows(ValidationException.class, () -> write.writeRecords(b -> b.databaseName(database).tableName("readings")
                .records(IntStream.range(0, 101).mapToObj(i -> record(i, i, 1)).collect(Collectors.toList()))));
        assertTrue(tooMany.awsErrorDetails().errorMessage().contains("Member must have length less than or equal to 100"), tooMany.getMessage());
        assertFalse(tooMany.requestId().isEmpty());

        read(database);

        write.deleteTable(b -> b.databaseName(database).tableName("readings"));
        assertThrows(ResourceNotFoundException.class, () -> write.describeTable(b -> b.databaseName(database).tableName("readings")));
        write.deleteDatabase(b -> b.databaseName(database));
    }

    private static Record record(int i, double temperature, long version) {
        return Record.builder().measureName("metrics").measureValueType(MeasureValueType.MULTI).time(Long.toString(NOW - i * 1000L)).version(version)
                .dimensions(Dimension.builder().name("device").value("dev-" + i % 4).build())
                .measureValues(MeasureValue.builder().name("temperature").value(Double.toString(temperature)).type(MeasureValueType.DOUBLE).build(),
                        MeasureValue.builder().name("ok").value("true").type(MeasureValueType.BOOLEAN).build())
                .build();
    }

    /** Reads as the JDBC driver does. */
    private void read(String database) {
        assertEquals("1", query.query(new QueryRequest().withQueryString("SELECT 1")).getRows().get(0).getData().get(0).getScalarValue());
        List<Row> rows = new ArrayList<>();
        QueryRequest request = new QueryRequest().withMaxRows(30)
                .withQueryString("SELECT device, time, temperature, ok, null AS nothing FROM \"" + database + "\".\"readings\" ORDER BY time DESC");
        QueryResult page;
        do {
            page = query.query(request);
            rows.addAll(page.getRows());
            request.setNextToken(page.getNextToken());
        } while (page.getNextToken() != null);
        assertEquals(100, rows.size());
        assertEquals(List.of("dev-0", "50.0", "true"), List.of(0, 2, 3).stream().map(k -> rows.get(0).getData().get(k).getScalarValue()).collect(Collectors.toList()));
        assertTrue(rows.get(0).getData().get(4).getNullValue());
        assertNull(rows.get(0).getData().get(0).getNullValue());
        assertTrue(rows.get(0).getData().get(1).getScalarValue().matches("\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{9}"));

        QueryResult first = query.query(new QueryRequest().withMaxRows(1).withQueryString("SELECT * FROM \"" + database + "\".\"readings\""));
        query.cancelQuery(new CancelQueryRequest().withQueryId(first.getQueryId()));
        assertThrows(ConflictException.class, () -> query.query(new QueryRequest().withMaxRows(1).withNextToken(first.getNextToken())
                .withQueryString("SELECT * FROM \"" + database + "\".\"readings\"")));
    }
}
