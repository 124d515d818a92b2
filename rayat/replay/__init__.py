"""Policies on recorded curves: what would each have cost, and what would it have delivered?"""
