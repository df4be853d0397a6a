"""Everything that touches what Streamlit keeps private: one file and one test a patch.

The version of Streamlit is bounded from above in ``pyproject.toml``; a new one is let in once these tests
pass.
"""
