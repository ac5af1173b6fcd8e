"""Tests of the AWS infrastructure, which a stand-in for AWS creates."""
