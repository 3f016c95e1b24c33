"""DynamoDB through the AWS CLI."""

import json

from harness import aws, check


def dynamodb(*arguments):
    return aws("dynamodb", *arguments)


@check
def a_table_is_created_written_queried_and_deleted():
    table = ("--table-name", "shell")
    dynamodb(
        "create-table", *table, "--attribute-definitions", "AttributeName=leaseKey,AttributeType=S",
        "--key-schema", "AttributeName=leaseKey,KeyType=HASH", "--billing-mode", "PAY_PER_REQUEST",
    )
    dynamodb("wait", "table-exists", *table)
    assert "shell" in dynamodb("list-tables")["TableNames"]
    key = json.dumps({"leaseKey": {"S": "shard-1"}})
    dynamodb("put-item", *table, "--item", json.dumps({"leaseKey": {"S": "shard-1"}, "leaseCounter": {"N": "1"}}))
    update = (
        "update-item", *table, "--key", key, "--update-expression", "SET leaseCounter = :next",
        "--condition-expression", "leaseCounter = :seen", "--expression-attribute-values",
        json.dumps({":next": {"N": "2"}, ":seen": {"N": "1"}}),
    )
    dynamodb(*update)
    try:
        dynamodb(*update)
    except RuntimeError as error:
        assert "ConditionalCheckFailedException" in str(error), error
    else:
        raise AssertionError("the condition held twice")
    assert dynamodb("scan", *table)["Items"][0]["leaseCounter"] == {"N": "2"}
    found = dynamodb(
        "query", *table, "--key-condition-expression", "leaseKey = :k",
        "--expression-attribute-values", json.dumps({":k": {"S": "shard-1"}}),
    )
    assert found["Count"] == 1
    dynamodb("delete-item", *table, "--key", key)
    assert dynamodb("scan", *table)["Count"] == 0
    dynamodb("delete-table", *table)
    dynamodb("wait", "table-not-exists", *table)
