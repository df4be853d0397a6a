"""What several features need: baselines, controls, group statistics."""
