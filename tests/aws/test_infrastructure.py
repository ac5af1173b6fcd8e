"""The CloudFormation template: checked by its linter, created and updated in a stand-in for AWS, and its permissions.

The stand-in does not support some types of resources. These are left out there, and the tests check their definitions.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from cfnlint.api import lint_file
from moto import mock_aws

from tests.aws.template import TEMPLATE, of_type, written

REGION = "eu-central-1"
STACK = "agent-orchestrator"
ADMIN = "203.0.113.7/32"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
WRITTEN_ONLY = (
    "AWS::CloudWatch::",
    "AWS::CodeDeploy::",
    "AWS::EC2::EIPAssociation",
    "AWS::ElastiCache::",
    "AWS::IAM::OIDCProvider",
    "AWS::Logs::MetricFilter",
    "AWS::SNS::Subscription",
)
CAPABILITIES = ("CAPABILITY_IAM",)
CHOSEN = {
    "AdminCidr": ADMIN,
    "AlarmEmail": "a@example.com",
    "GithubRepository": "owner/name",
    "GithubProviderArn": PROVIDER,
}
Resources = dict[str, dict[str, Any]]


def creatable() -> str:
    """Returns the template without the resources that the stand-in does not support, and without references to them."""
    template = written()
    template["Resources"] = {
        name: resource
        for name, resource in template["Resources"].items()
        if not resource["Type"].startswith(WRITTEN_ONLY)
    }
    del template["Outputs"]["RedisEndpoint"]
    return json.dumps(template)


def parameters(values: Mapping[str, str]) -> Any:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("AWS_DEFAULT_REGION", REGION)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield


def an_image() -> str:
    """Returns the id of an image of the stand-in, always the same one."""
    images = boto3.client("ec2").describe_images(Owners=["amazon"])["Images"]
    return str(min(image["ImageId"] for image in images))


@pytest.fixture(scope="module")
def stack(aws: None) -> Resources:
    """Creates the stack, and returns its resources by their names in the template."""
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=STACK,
        TemplateBody=creatable(),
        Capabilities=list(CAPABILITIES),
        Parameters=parameters({**CHOSEN, "ImageId": an_image()}),
    )
    (found,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    assert found["StackStatus"] == "CREATE_COMPLETE"
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    return {resource["LogicalResourceId"]: dict(resource) for resource in resources if "LogicalResourceId" in resource}


def physical(stack: Resources, name: str) -> str:
    return str(stack[name]["PhysicalResourceId"])


def tags(found: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in found["Tags"]}


def test_the_linter_finds_nothing() -> None:
    assert [str(match) for match in lint_file(TEMPLATE)] == []


def test_the_network_has_its_names_and_ranges(stack: Resources) -> None:
    ec2 = boto3.client("ec2")
    (vpc,) = ec2.describe_vpcs(VpcIds=[physical(stack, "Vpc")])["Vpcs"]
    assert (tags(vpc)["Name"], vpc["CidrBlock"]) == ("agent-orchestrator-vpc", "10.0.0.0/16")
    of_vpc: Any = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    subnets = {tags(found)["Name"]: found for found in ec2.describe_subnets(Filters=of_vpc)["Subnets"]}
    assert {name: found["CidrBlock"] for name, found in subnets.items()} == {
        "agent-orchestrator-public-a": "10.0.1.0/24",
        "agent-orchestrator-public-b": "10.0.2.0/24",
        "agent-orchestrator-private-a": "10.0.11.0/24",
        "agent-orchestrator-private-b": "10.0.12.0/24",
    }


def test_private_subnets_have_no_internet_access_except_an_optional_gateway() -> None:
    tables = {
        found["SubnetId"]["Ref"]: found["RouteTableId"]["Ref"]
        for found in of_type("AWS::EC2::SubnetRouteTableAssociation").values()
    }
    assert tables == {
        "PublicSubnetA": "PublicRoutes",
        "PublicSubnetB": "PublicRoutes",
        "PrivateSubnetA": "PrivateRoutes",
        "PrivateSubnetB": "PrivateRoutes",
    }
    routes = {found["RouteTableId"]["Ref"]: name for name, found in of_type("AWS::EC2::Route").items()}
    assert routes == {"PublicRoutes": "PublicDefaultRoute", "PrivateRoutes": "PrivateDefaultRoute"}
    assert written()["Resources"]["PrivateDefaultRoute"]["Condition"] == "HasNat"
    assert written()["Parameters"]["NatGateway"]["Default"] == "false"


def reached(stack: Resources, name: str) -> set[tuple[int, str]]:
    """Returns the ports of a security group, each with the source that can reach it."""
    (group,) = boto3.client("ec2").describe_security_groups(GroupIds=[physical(stack, name)])["SecurityGroups"]
    return {
        (rule["FromPort"], source)
        for rule in group["IpPermissions"]
        for source in [
            *(block["CidrIp"] for block in rule["IpRanges"]),
            *(pair["GroupId"] for pair in rule["UserIdGroupPairs"]),
        ]
    }


def test_all_reach_the_web_ports_of_the_server_and_its_admin_the_others(stack: Resources) -> None:
    everywhere = "0.0.0.0/0"
    assert reached(stack, "ServerSecurityGroup") == {(22, ADMIN), (6443, ADMIN), (80, everywhere), (443, everywhere)}


def test_only_the_server_reaches_redis(stack: Resources) -> None:
    assert reached(stack, "RedisSecurityGroup") == {(6379, physical(stack, "ServerSecurityGroup"))}


def test_security_groups_have_their_names_as_tags(stack: Resources) -> None:
    groups = [physical(stack, name) for name in ("ServerSecurityGroup", "RedisSecurityGroup")]
    found = boto3.client("ec2").describe_security_groups(GroupIds=groups)["SecurityGroups"]
    assert {tags(group)["Name"] for group in found} == {"sg-agent-orchestrator-ec2", "sg-agent-orchestrator-redis"}


def test_pods_do_not_reach_the_role_of_the_server(stack: Resources) -> None:
    ec2 = boto3.client("ec2")
    (version,) = ec2.describe_launch_template_versions(LaunchTemplateId=physical(stack, "ServerTemplate"))[
        "LaunchTemplateVersions"
    ]
    options = version["LaunchTemplateData"]["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)


def allowed(role: str) -> dict[str, tuple[list[str], list[Any]]]:
    """Returns the actions and resources of a role's inline policies, by statement."""
    policies = written()["Resources"][role]["Properties"]["Policies"]
    statements = [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]
    given = [statement for statement in statements if statement["Effect"] == "Allow"]

    def listed(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [value]

    return {found["Sid"]: (listed(found["Action"]), listed(found["Resource"])) for found in given}


def test_the_server_reads_its_own_parameters_and_images_and_writes_logs_and_metrics() -> None:
    rights = allowed("ServerRole")
    assert {action for actions, _ in rights.values() for action in actions} == {
        "ssm:GetParametersByPath", "kms:Decrypt", "ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "logs:CreateLogStream", "logs:DescribeLogStreams",
        "logs:PutLogEvents", "cloudwatch:PutMetricData", "s3:GetObject", "s3:GetObjectVersion",
    }  # fmt: skip
    (parameters_read,) = rights["ReadParameters"][1]
    assert parameters_read["Fn::Sub"].endswith(":parameter/agent-orchestrator-api/${Environment}")
    anywhere = {sid for sid, (_, resources) in rights.items() if "*" in resources}
    assert anywhere == {"SignIn", "WriteMetrics"}, (
        "these actions support no resources; WriteMetrics has a condition instead"
    )


def test_the_server_decrypts_and_reads_no_other_parameters() -> None:
    statements = {
        found["Sid"]: found
        for policy in written()["Resources"]["ServerRole"]["Properties"]["Policies"]
        for found in policy["PolicyDocument"]["Statement"]
    }
    (own,) = statements["DecryptParameters"]["Condition"]["StringLike"].values()
    assert own["Fn::Sub"].endswith(":parameter/agent-orchestrator-api/${Environment}/*")
    others = statements["NoOthers"]
    assert others["Effect"] == "Deny"
    assert {resource["Fn::Sub"].rpartition(":parameter")[2] for resource in others["NotResource"]} == {
        "/agent-orchestrator-api/${Environment}",
        "/agent-orchestrator-api/${Environment}/*",
    }
    assert statements["WriteMetrics"]["Condition"] == {"StringEquals": {"cloudwatch:namespace": "AgentOrchestrator"}}


def test_the_server_is_not_replaced_by_accident() -> None:
    server = written()["Resources"]["Server"]
    assert server["Properties"]["DisableApiTermination"] is True
    assert written()["Parameters"]["ImageId"]["Type"] == "AWS::EC2::Image::Id"
    assert server["Properties"]["LaunchTemplate"]["LaunchTemplateId"] == {"Ref": "ServerTemplate"}


def test_only_workflows_of_one_environment_push_and_deploy(stack: Resources) -> None:
    role = boto3.client("iam").get_role(RoleName=physical(stack, "GithubRole"))["Role"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Condition"]["StringEquals"] == {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": "repo:owner/name:environment:prod",
    }
    rights = allowed("GithubRole")
    assert {sid for sid, (_, resources) in rights.items() if "*" in resources} == {"SignIn"}
    assert not any("*" in action for actions, _ in rights.values() for action in actions)


def test_user_data_names_the_environment_of_the_server(stack: Resources) -> None:
    encoded = boto3.client("ec2").describe_instance_attribute(
        InstanceId=physical(stack, "Server"), Attribute="userData"
    )
    text = base64.b64decode(encoded["UserData"]["Value"]).decode()
    assert text.startswith("#!/bin/sh\n")
    variables = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Z_]+=[^$]", line))
    assert variables == {
        "ENVIRONMENT": "prod",
        "AWS_REGION": REGION,
        "GITHUB_REPOSITORY": "owner/name",
        "REGISTRY": f"123456789012.dkr.ecr.{REGION}.amazonaws.com",
        "PUBLIC_ADDRESS": physical(stack, "ServerAddress"),
    }


def test_image_tags_are_immutable(stack: Resources) -> None:
    found = boto3.client("ecr").describe_repositories()["repositories"]
    assert {repository["repositoryName"]: repository["imageTagMutability"] for repository in found} == {
        "agent-orchestrator-api": "IMMUTABLE",
        "agent-orchestrator-worker": "IMMUTABLE",
        "agent-orchestrator-operator": "IMMUTABLE",
    }


def test_log_groups_have_a_retention(stack: Resources) -> None:
    groups = boto3.client("logs").describe_log_groups()["logGroups"]
    kept = {group["logGroupName"]: group["retentionInDays"] for group in groups}
    assert kept == {
        "/agent-orchestrator/api": 30,
        "/agent-orchestrator/worker": 30,
        "/agent-orchestrator/operator": 30,
        "/agent-orchestrator/metrics": 1,
    }


def test_every_alarm_notifies_the_topic() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")
    assert {alarm["AlarmName"]["Fn::Sub"].rpartition("${Environment}-")[2] for alarm in alarms.values()} == {
        "cpu", "status", "disk", "logs", "api-errors", "api-latency", "task-latency", "backlog", "cache-memory",
    }  # fmt: skip
    assert all(alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}] for alarm in alarms.values())
    unmeasured = {name for name, alarm in alarms.items() if alarm.get("TreatMissingData") == "breaching"}
    assert unmeasured == {"Backlog", "LogsSilent", "ServerIll"}, "these alarms also notify if their metric is missing"


def test_the_topic_sends_alarms_to_the_given_address() -> None:
    (subscription,) = of_type("AWS::SNS::Subscription").values()
    assert subscription == {"TopicArn": {"Ref": "Alarms"}, "Protocol": "email", "Endpoint": {"Ref": "AlarmEmail"}}
    assert written()["Resources"]["AlarmSubscription"]["Condition"] == "HasEmail"


def test_the_server_has_the_address_in_its_certificate() -> None:
    (association,) = of_type("AWS::EC2::EIPAssociation").values()
    assert association == {
        "AllocationId": {"Fn::GetAtt": ["ServerAddress", "AllocationId"]},
        "InstanceId": {"Ref": "Server"},
    }


def test_a_failed_deployment_is_rolled_back() -> None:
    (application,) = of_type("AWS::CodeDeploy::Application").values()
    assert (application["ApplicationName"], application["ComputePlatform"]) == ("agent-orchestrator-api", "Server")
    (group,) = of_type("AWS::CodeDeploy::DeploymentGroup").values()
    assert group["DeploymentGroupName"] == "agent-orchestrator-api-ec2"
    assert group["AutoRollbackConfiguration"] == {"Enabled": True, "Events": ["DEPLOYMENT_FAILURE"]}
    server = {tag["Key"]: tag["Value"] for tag in written()["Resources"]["Server"]["Properties"]["Tags"]}
    (chosen,) = group["Ec2TagFilters"]
    assert server[chosen["Key"]] == chosen["Value"]


def test_valkey_is_private_encrypted_and_requires_a_token() -> None:
    properties = written()["Resources"]["Redis"]["Properties"]
    assert (properties["Engine"], properties["TransitEncryptionEnabled"]) == ("valkey", True)
    assert properties["AtRestEncryptionEnabled"] is True
    assert properties["AuthToken"] == {
        "Fn::Sub": "{{resolve:ssm-secure:/agent-orchestrator-infrastructure/${Environment}/REDIS_AUTH_TOKEN}}"
    }
    assert properties["SecurityGroupIds"] == [{"Ref": "RedisSecurityGroup"}]
    policy = written()["Resources"]["RedisParameters"]["Properties"]["Properties"]
    assert policy == {"maxmemory-policy": "noeviction"}, "a queue must not evict entries"


def test_an_update_changes_what_it_names(stack: Resources) -> None:
    cloudformation = boto3.client("cloudformation")
    moved = "198.51.100.0/24"
    cloudformation.update_stack(
        StackName=STACK,
        TemplateBody=creatable(),
        Capabilities=list(CAPABILITIES),
        Parameters=parameters({**CHOSEN, "ImageId": an_image(), "AdminCidr": moved}),
    )
    (found,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    assert found["StackStatus"] == "UPDATE_COMPLETE"
    resources = cloudformation.describe_stack_resources(StackName=STACK)["StackResources"]
    now = {resource["LogicalResourceId"]: dict(resource) for resource in resources if "LogicalResourceId" in resource}
    assert {source for port, source in reached(now, "ServerSecurityGroup") if port in (22, 6443)} == {moved}
