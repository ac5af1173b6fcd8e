"""The guided tour: what the system does, shown live on the real stack."""
