"""Parameters of AWS Systems Manager as values of the Helm chart."""
