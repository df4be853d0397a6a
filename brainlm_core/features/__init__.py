"""What is asked of a recording or a cohort: one folder a feature, none knows another."""
