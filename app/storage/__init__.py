"""The stores on MongoDB: a file per collection or consumer. No other package imports the driver."""
