"""DynamoDB through boto3: what a lease table needs."""

import boto3
from harness import check, error_code

dynamodb = boto3.client("dynamodb")


def create(name):
    dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    dynamodb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})


def delete(name):
    dynamodb.delete_table(TableName=name)
    dynamodb.get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 10})


@check
def a_lease_is_taken_by_one_of_two_who_saw_the_same_counter():
    create("leases")
    dynamodb.put_item(
        TableName="leases",
        Item={"leaseKey": {"S": "shard-1"}, "leaseCounter": {"N": "7"}},
        ConditionExpression="attribute_not_exists(leaseKey)",
    )
    take = {
        "TableName": "leases",
        "Key": {"leaseKey": {"S": "shard-1"}},
        "UpdateExpression": "SET leaseOwner = :me, leaseCounter = leaseCounter + :one",
        "ConditionExpression": "leaseCounter = :seen",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    values = {":me": {"S": "worker-1"}, ":one": {"N": "1"}, ":seen": {"N": "7"}}
    taken = dynamodb.update_item(**take, ExpressionAttributeValues=values, ReturnValues="ALL_NEW")
    assert taken["Attributes"]["leaseCounter"] == {"N": "8"}
    try:
        dynamodb.update_item(**take, ExpressionAttributeValues={**values, ":me": {"S": "worker-2"}})
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        assert error.response["Item"]["leaseOwner"] == {"S": "worker-1"}, error.response
    else:
        raise AssertionError("taken twice")
    assert dynamodb.describe_table(TableName="leases")["Table"]["TableStatus"] == "ACTIVE"
    delete("leases")
    assert error_code(dynamodb.describe_table, TableName="leases") == "ResourceNotFoundException"


@check
def rows_are_scanned_queried_fetched_and_deleted():
    create("rows")
    keys = [{"leaseKey": {"S": f"shard-{n:03}"}} for n in range(60)]
    for start in (0, 25, 50):
        requests = [{"PutRequest": {"Item": {**key, "n": {"N": "1"}}}} for key in keys[start : start + 25]]
        assert not dynamodb.batch_write_item(RequestItems={"rows": requests})["UnprocessedItems"]
    pages = dynamodb.get_paginator("scan").paginate(
        TableName="rows", ConsistentRead=True, PaginationConfig={"PageSize": 7}
    )
    assert sum(len(page["Items"]) for page in pages) == 60
    found = dynamodb.query(
        TableName="rows", KeyConditionExpression="leaseKey = :k", ExpressionAttributeValues={":k": {"S": "shard-042"}}
    )
    assert found["Count"] == 1
    batch = dynamodb.batch_get_item(RequestItems={"rows": {"Keys": keys[:3], "ConsistentRead": True}})
    assert len(batch["Responses"]["rows"]) == 3
    old = dynamodb.delete_item(TableName="rows", Key=keys[0], ReturnValues="ALL_OLD")
    assert old["Attributes"]["n"] == {"N": "1"}
    assert "Item" not in dynamodb.get_item(TableName="rows", Key=keys[0], ConsistentRead=True)
    delete("rows")
